-- What is kept of one model, changed by whoever knows its last generation; where a token is given, by the leader alone.
-- KEYS: states, generations, leader, history, trials (hashes by model, a text, a list, a hash)
-- ARGV: model, expected generation ('' to ask for none), generation, state, record, how many records, token, trial
-- In one script, so that no leader whose lease has ended writes over what another has decided.
if ARGV[7] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[7] then
  return 0
end
if ARGV[2] ~= '' and (redis.call('HGET', KEYS[2], ARGV[1]) or '0') ~= ARGV[2] then
  return 0
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
end
if ARGV[5] ~= '' then
  redis.call('LPUSH', KEYS[4], ARGV[5])
  redis.call('LTRIM', KEYS[4], 0, tonumber(ARGV[6]) - 1)
end
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[5], ARGV[1], ARGV[8])
end
return 1
