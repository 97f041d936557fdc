-- The load of JSON requests, for wrk: one constant request, no new one after `seconds`, so that every request that was
-- sent is answered before wrk ends. Arguments: seconds, the file of the body, then pairs of header and value.
local ffi = require("ffi")
ffi.cdef("typedef struct { long sec; long nsec; } bench_time; int clock_gettime(int clock, bench_time *time);")
local time = ffi.new("bench_time")
local FOREVER = 3600 * 1000

local function now()
    ffi.C.clock_gettime(1, time)
    return tonumber(time.sec) + tonumber(time.nsec) / 1e9
end

local threads = {}

function setup(thread)
    threads[#threads + 1] = thread
end

function init(args)
    seconds = tonumber(args[1])
    local file = assert(io.open(args[2], "rb"))
    wrk.method = "POST"
    wrk.body = file:read("*a")
    file:close()
    wrk.headers["Content-Type"] = "application/json"
    for index = 3, #args, 2 do
        wrk.headers[args[index]] = args[index + 1]
    end
    sent = 0
    sent_in_time = 0
    elapsed = 0
end

-- wrk asks before every request how long to wait: the place to count and, once the time is over, to stop.
function delay()
    local time_now = now()
    started = started or time_now
    if time_now - started >= seconds then
        if elapsed == 0 then
            elapsed = time_now - started
            sent_in_time = sent
        end
        return FOREVER
    end
    sent = sent + 1
    return 0
end

function done(summary, latency)
    local thread = threads[1]
    local errors = summary.errors
    print(string.format(
        'RESULT {"completed": %d, "sent": %d, "sent_in_time": %d, "elapsed": %.6f, "errors": %d, "p50_us": %d, "p99_us": %d}',
        summary.requests, thread:get("sent"), thread:get("sent_in_time"), thread:get("elapsed"),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
