-- The load of many keys, for wrk: each request carries the next line of a file as its key. Arguments: the file of keys,
-- the file of the body. Prints how the answers' statuses were counted.
local threads = {}

function setup(thread)
    threads[#threads + 1] = thread
end

function init(args)
    keys, statuses, turn = {}, {}, 0
    for line in io.lines(args[1]) do
        keys[#keys + 1] = line
    end
    local file = assert(io.open(args[2], "rb"))
    body = file:read("*a")
    file:close()
end

function request()
    turn = turn % #keys + 1
    return wrk.format("POST", nil, {
        ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. keys[turn]
    }, body)
end

function response(status)
    statuses[status] = (statuses[status] or 0) + 1
end

function done(summary, latency)
    local found = {}
    for status, count in pairs(threads[1]:get("statuses")) do
        found[#found + 1] = string.format('"%d": %d', status, count)
    end
    print("RESULT {" .. table.concat(found, ", ") .. "}")
end
