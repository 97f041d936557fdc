// Loaded before Portkey's gateway, which has no option for it: it listens on loopback only.
const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return typeof port === "number"
    ? listen.call(this, port, "127.0.0.1", ...rest.filter((item) => typeof item === "function"))
    : listen.call(this, port, ...rest);
};
