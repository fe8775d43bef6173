-- Degraded where a person must act (Stalled), healthy where it is Ready, else on its way.
-- A condition of an earlier specification says nothing of this one.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not seen this specification yet"}
end

local found = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.observedGeneration == obj.metadata.generation then
    found[condition.type] = condition
  end
end

local function holds(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end

local function words(condition)
  return condition.reason .. ": " .. condition.message
end

if holds("Stalled") then
  return {status = "Degraded", message = words(found.Stalled)}
end
if holds("Ready") then
  -- It serves; that more replicas are needed is worth a word, and no reason to take it back.
  return {status = "Healthy", message = words(found.NeedsCapacity or found.Ready)}
end
if found.Ready ~= nil then
  return {status = "Progressing", message = words(found.Ready)}
end
return {status = "Progressing", message = "the operator has not said whether it is ready"}
