-- Degraded where a processor cannot be used or was never measured, with the agent's own words.
local status = obj.status or {}
if (status.nodeType or "") == "" then
  return {status = "Progressing", message = "the agent has not reported yet"}
end

for _, processor in ipairs(status.processors or {}) do
  if processor.unavailable ~= nil then
    return {status = "Degraded", message = processor.class .. ": " .. processor.unavailable}
  end
end

for _, benchmark in ipairs(status.benchmarks or {}) do
  if benchmark.error ~= nil and #(benchmark.points or {}) == 0 then
    return {status = "Degraded", message = benchmark.class .. " under " .. benchmark.runtime
      .. " could not be measured: " .. benchmark.error}
  end
end

return {status = "Healthy", message = status.nodeType}
