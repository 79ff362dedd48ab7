-- Uploads, requests spread over hosts, and the summary as one line of JSON.
-- BENCH_UPLOAD: bytes of each request's body. BENCH_HOSTS: the hosts h0.bench.test and so on; 0 for none.
local upload = tonumber(os.getenv("BENCH_UPLOAD") or "0")
local hosts = tonumber(os.getenv("BENCH_HOSTS") or "0")
if upload > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("u", upload)
  wrk.headers["Content-Type"] = "application/octet-stream"
end

local requests, at = {}, 0

if hosts > 0 then
  function init(args)
    for host = 0, hosts - 1 do
      wrk.headers["Host"] = "h" .. host .. ".bench.test"
      requests[host] = wrk.format()
    end
  end

  -- In an order that no cache line or prefetcher expects; the step shares no factor with a power of ten.
  function request()
    at = (at + 7919) % hosts
    return requests[at]
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nSUMMARY {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %d, "p99": %d, ' ..
      '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
