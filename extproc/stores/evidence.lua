-- Adds evidence to the slots of one model. KEYS: what remembers the batch, then the slots' hashes.
-- ARGV: for how many seconds the batch is remembered; then for each slot when it ends, how many fields, and them with
-- their numbers. A batch that is told again, because its answer was lost, is added once.
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then
  return 0
end
local at = 2
for slot = 2, #KEYS do
  local ends, fields = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, fields do
    redis.pcall('HINCRBY', KEYS[slot], ARGV[at], ARGV[at + 1]) -- a sum that is full stays as it is
    at = at + 2
  end
  redis.call('EXPIREAT', KEYS[slot], ends)
end
return 1
