-- Sends signed events that were made before: `events` has one "id signature" per line, `body` the
-- event with @ID@ in it. Arguments: body file, events file, path, rate (0: as fast as it goes),
-- "wrap" to begin anew at the end instead of stopping.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } moment;
  int clock_gettime(int clock, moment *found);
]]
local found = ffi.new("moment")
local function now()
  ffi.C.clock_gettime(1, found)
  return tonumber(found.seconds) + tonumber(found.nanoseconds) / 1e9
end

local threads = {}
function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
  thread:set("statuses", "")
end

local head, tail, events, start, rate, wrap, slot
local sent, counts = 0, {}
ran_out = 0

function init(arguments)
  local body = io.open(arguments[1], "rb"):read("*a")
  local cut = body:find("@ID@", 1, true)
  head, tail = body:sub(1, cut - 1), body:sub(cut + 4)
  events = {}
  for line in io.lines(arguments[2]) do events[#events + 1] = line end
  rate, wrap = tonumber(arguments[4]), arguments[5] == "wrap"
  start = "POST " .. arguments[3] .. " HTTP/1.1\r\nHost: " .. wrk.host ..
    "\r\nContent-Type: application/json\r\nUser-Agent: bench\r\nDigitalRiver-Signature: "
  if rate == 0 then delay = nil end
end

function request()
  if sent == #events then
    if not wrap then
      if ran_out == 0 then
        ran_out = 1
        io.write("RAN OUT\n")
        io.flush()
      end
      wrk.thread:stop()
    end
    sent = 0
  end
  sent = sent + 1
  local line = events[sent]
  local gap = line:find(" ", 1, true)
  local id = line:sub(1, gap - 1)
  return start .. line:sub(gap + 1) .. "\r\nContent-Length: " .. (#head + #id + #tail) ..
    "\r\n\r\n" .. head .. id .. tail
end

-- Slots of one schedule, whichever connection is free takes the next.
function delay()
  local at = now()
  slot = math.max((slot or at) + 1 / rate, at - 0.05)
  return math.max(0, math.floor((slot - at) * 1000 + 0.5))
end

if os.getenv("BENCH_STATUSES") then
  function response(status)
    counts[status] = (counts[status] or 0) + 1
    statuses = ""
    for name, count in pairs(counts) do statuses = statuses .. name .. "=" .. count .. " " end
  end
end

function done(summary, latency, requests)
  local words, out = "", 0
  for _, thread in ipairs(threads) do
    words = words .. thread:get("statuses")
    out = out + thread:get("ran_out")
  end
  io.write(string.format(
    '\nBENCH {"requests": %d, "micros": %d, "p50": %f, "p99": %f, "max": %f, ' ..
    '"failed": %d, "timeouts": %d, "sockets": %d, "ran_out": %d, "statuses": "%s"}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, summary.errors.status, summary.errors.timeout,
    summary.errors.connect + summary.errors.read + summary.errors.write, out, words))
end
