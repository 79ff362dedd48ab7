-- Uploads, and the summary as one line of JSON. BENCH_UPLOAD: bytes of each request's body.
local upload = tonumber(os.getenv("BENCH_UPLOAD") or "0")
if upload > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("u", upload)
  wrk.headers["Content-Type"] = "application/octet-stream"
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nSUMMARY {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %d, "p99": %d, ' ..
      '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
