-- wrk sends the body in the file named first after "--", with the headers that follow as NAME:VALUE,
-- and tells at the end what it saw as one line of JSON (latencies in microseconds).

function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   file:close()
   for i = 2, #args do
      local name, value = args[i]:match("^([^:]+):(.*)$")
      wrk.headers[name] = value
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %f, "failed": %d, "p50": %f, "p99": %f}\n',
      summary.requests, summary.duration / 1e6, e.status + e.connect + e.read + e.write + e.timeout,
      latency:percentile(50), latency:percentile(99)))
end
