-- Judges and charges all counters of one call, or settles what they hold, at one moment: Redis runs nothing else
-- meanwhile.
-- The arithmetic is that of core/judging.py. Numbers are doubles, whole up to 2^53: times are in microseconds since the
-- epoch, lengths of time in nanoseconds, which is 104 days; whoever calls keeps to that.
--
-- KEYS  two for each item: the counter, and where the reservation of a budget is; then, for a hit that may come twice,
--       where its answer is remembered
-- ARGV  what to do: hit, back or settle
--       the time, if not this server's own
--       who holds what is taken, or nothing
--       eight for each item: kind, amount, the limit's number, its interval, the window's start and end (seconds), how
--       long a slot is held (milliseconds), 1 for a shadow
-- A hit answers with four numbers for each item: 1 if it is allowed, what remains, nanoseconds until all is as new, and
-- until this would be allowed. Where the time is outside a window, with that time alone: nothing was judged.

local REMEMBERED = 5000  -- milliseconds, longer than any retry of one call can take
local SLICES = 32
local SPARE = 1000       -- milliseconds that a key outlives its use

local what, holder = ARGV[1], ARGV[3]
local items = (#ARGV - 3) / 8
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function whole(number) return string.format('%.0f', number) end

local function item(index)
  local at = 3 + (index - 1) * 8
  return {
    kind = ARGV[at + 1], amount = tonumber(ARGV[at + 2]), number = tonumber(ARGV[at + 3]),
    interval = tonumber(ARGV[at + 4]), start = tonumber(ARGV[at + 5]), finish = tonumber(ARGV[at + 6]),
    lease = tonumber(ARGV[at + 7]), shadow = ARGV[at + 8] == '1',
    key = KEYS[index * 2 - 1], reservation = KEYS[index * 2],
  }
end

local function two(text)
  local first, second = string.match(text or '', '^(%d+) (%d+)$')
  return tonumber(first), tonumber(second)
end

-- Each kind reads what is kept, as of now: a clock that was set back has its say here, whatever is judged then.
local read, judge, write, give_back = {}, {}, {}, {}

function read.rate(one)
  local updated, debt = two(redis.call('GET', one.key))
  if not updated then return { debt = 0 } end
  return { debt = math.max(0, debt - math.max(0, now - updated) * 1000), moved = updated > now }
end

function judge.rate(one, kept, amount)
  local full = one.number * one.interval
  local asked = kept.debt + math.max(amount, 1) * one.interval
  local allowed = asked <= full
  local debt = kept.debt + (allowed and amount * one.interval or 0)
  local remaining = math.max(0, math.floor((full - debt) / one.interval))
  return { debt = debt }, allowed, remaining, debt, allowed and 0 or asked - full
end

function write.rate(one, kept)
  local lives = math.ceil(kept.debt / 1000000) + SPARE
  redis.call('SET', one.key, whole(now) .. ' ' .. whole(kept.debt), 'PX', whole(lives))
end

function give_back.rate(one, kept) return { debt = math.max(0, kept.debt - one.amount * one.interval) } end

function read.quota(one)
  local start, used = two(redis.call('GET', one.key))
  if not start or start < one.start then return { used = 0 } end
  return { used = used, moved = start > one.start }
end

function judge.quota(one, kept, amount)
  local left = (one.finish * 1000000 - now) * 1000
  local allowed = kept.used + math.max(amount, 1) <= one.number
  local used = kept.used + (allowed and amount or 0)
  return { used = used }, allowed, math.max(0, one.number - used), used > 0 and left or 0, allowed and 0 or left
end

function write.quota(one, kept)
  local lives = math.ceil(one.finish * 1000 - now / 1000) + SPARE
  redis.call('SET', one.key, whole(one.start) .. ' ' .. whole(kept.used), 'PX', whole(lives))
end

read.budget, judge.budget, write.budget = read.quota, judge.quota, write.quota

function read.sliding(one)
  local slices, slice, moved = {}, math.floor(now / one.interval), false
  for number, amount in string.gmatch(redis.call('GET', one.key) or '', '(%d+):(%d+)') do
    number, amount = tonumber(number), tonumber(amount)
    if number > slice then number, moved = slice, true end
    local last = slices[#slices]
    if last and last[1] == number then
      last[2] = last[2] + amount
    elseif number >= slice - SLICES then
      slices[#slices + 1] = { number, amount }
    end
  end
  return { slices = slices, moved = moved }
end

local function until_gone(one, number) return ((number + SLICES + 1) * one.interval - now) * 1000 end

function judge.sliding(one, kept, amount)
  local slice, used, slices = math.floor(now / one.interval), 0, {}
  for index, each in ipairs(kept.slices) do
    slices[index] = { each[1], each[2] }
    used = used + each[2]
  end
  local asked = math.max(amount, 1)
  local allowed = used + asked <= one.number
  local retry_after = 0
  if not allowed then
    local wanted, last = used + asked - one.number, slice
    for _, each in ipairs(slices) do
      wanted = wanted - each[2]
      if wanted <= 0 then last = each[1] break end
    end
    retry_after = until_gone(one, last)
  elseif amount > 0 then
    local last = slices[#slices]
    if last and last[1] == slice then last[2] = last[2] + amount else slices[#slices + 1] = { slice, amount } end
    used = used + amount
  end
  local reset = #slices > 0 and until_gone(one, slices[#slices][1]) or 0
  return { slices = slices }, allowed, math.max(0, one.number - used), reset, retry_after
end

function write.sliding(one, kept)
  local spelled = {}
  for index, each in ipairs(kept.slices) do spelled[index] = whole(each[1]) .. ':' .. whole(each[2]) end
  local lives = math.ceil(one.interval * (SLICES + 1) / 1000) + SPARE
  redis.call('SET', one.key, table.concat(spelled, ' '), 'PX', whole(lives))
end

function give_back.sliding(one, kept)
  local owed = one.amount
  for index = #kept.slices, 1, -1 do
    local taken = math.min(owed, kept.slices[index][2])
    kept.slices[index][2] = kept.slices[index][2] - taken
    owed = owed - taken
  end
  return kept
end

function read.concurrency(one)
  redis.call('ZREMRANGEBYSCORE', one.key, '-inf', whole(now))
  return { taken = redis.call('ZCARD', one.key), held = redis.call('ZSCORE', one.key, holder) and true or false }
end

function judge.concurrency(one, kept, amount)
  local allowed = kept.held or kept.taken < one.number
  local taking = allowed and amount > 0 and not kept.held
  local taken = kept.taken + (taking and 1 or 0)
  local after = { taken = taken, held = kept.held or taking }
  return after, allowed, math.max(0, one.number - taken), 0, allowed and 0 or 1000000000
end

function write.concurrency(one, kept)
  if not kept.held then return end
  redis.call('ZADD', one.key, whole(now + one.lease * 1000), holder)
  -- Not shorter than the lease of another one, which an edited limit may have made longer.
  local lives = math.max(one.lease + SPARE, redis.call('PTTL', one.key))
  redis.call('PEXPIRE', one.key, whole(lives))
end

local function in_windows(all)
  for _, one in ipairs(all) do
    if one.finish > 0 and (now < one.start * 1000000 or now >= one.finish * 1000000) then return false end
  end
  return true
end

local function reserve(one)
  local start, before = two(redis.call('GET', one.reservation))
  local amount = one.amount + (start == one.start and before or 0)
  local lives = math.ceil(one.finish * 1000 - now / 1000) + SPARE
  redis.call('SET', one.reservation, whole(one.start) .. ' ' .. whole(amount), 'PX', whole(lives))
end

local function hit(all)
  local remembered = KEYS[items * 2 + 1]
  local known = remembered and redis.call('GET', remembered)
  if known then
    local answer = {}
    for number in string.gmatch(known, '%d+') do answer[#answer + 1] = tonumber(number) end
    return answer
  end
  local kept, charged, verdicts, refused = {}, {}, {}, false
  for index, one in ipairs(all) do
    kept[one.key] = kept[one.key] or read[one.kind](one)
    if kept[one.key].moved then write[one.kind](one, kept[one.key]) end
    local before = charged[one.key] or kept[one.key]
    local after, allowed, remaining, reset, retry_after = judge[one.kind](one, before, one.amount)
    if allowed and one.amount > 0 then charged[one.key] = after end
    verdicts[index] = { allowed, remaining, reset, retry_after }
    refused = refused or not (allowed or one.shadow)
  end
  local answer = {}
  for index, one in ipairs(all) do
    local allowed, remaining, reset, retry_after = unpack(verdicts[index])
    if refused and allowed then
      local _
      _, allowed, remaining, reset, retry_after = judge[one.kind](one, kept[one.key], 0)
    elseif allowed and charged[one.key] then
      write[one.kind](one, charged[one.key])
      if one.kind == 'budget' and holder ~= '' and one.amount > 0 then reserve(one) end
    end
    for _, number in ipairs({ allowed and 1 or 0, remaining, reset, retry_after }) do answer[#answer + 1] = number end
  end
  if remembered then
    local spelled = {}
    for index, number in ipairs(answer) do spelled[index] = whole(number) end
    redis.call('SET', remembered, table.concat(spelled, ' '), 'PX', REMEMBERED)
  end
  return answer
end

-- To a window that is over, nothing is given back: the next one owes nothing for it.
local function change_used(one, difference)
  local start, used = two(redis.call('GET', one.key))
  if start and start == one.start then
    redis.call('SET', one.key, whole(start) .. ' ' .. whole(math.max(0, used + difference)), 'KEEPTTL')
  end
end

-- The holder may have held some before.
local function unreserve(one)
  local start, amount = two(redis.call('GET', one.reservation))
  if start ~= one.start then return end
  if amount > one.amount then
    redis.call('SET', one.reservation, whole(start) .. ' ' .. whole(amount - one.amount), 'KEEPTTL')
  else
    redis.call('DEL', one.reservation)
  end
end

-- Because another server has refused the rest of the call. As if it had never been asked, but for the time between.
local function back(all)
  for _, one in ipairs(all) do
    if one.kind == 'concurrency' then
      redis.call('ZREM', one.key, holder)
    elseif one.kind == 'quota' or one.kind == 'budget' then
      change_used(one, -one.amount)
      if one.kind == 'budget' then unreserve(one) end
    else
      write[one.kind](one, give_back[one.kind](one, read[one.kind](one)))
    end
  end
  if KEYS[items * 2 + 1] then redis.call('DEL', KEYS[items * 2 + 1]) end
  return {}
end

local function settle(all)
  for _, one in ipairs(all) do
    if one.kind == 'concurrency' then
      redis.call('ZREM', one.key, holder)
    else
      local start, reserved = two(redis.call('GET', one.reservation))
      if start then
        one.start = start
        change_used(one, one.amount - reserved)
        redis.call('DEL', one.reservation)
      end
    end
  end
  return {}
end

local all = {}
for index = 1, items do all[index] = item(index) end
if what == 'settle' then return settle(all) end
if what == 'back' then return back(all) end
if not in_windows(all) then return { now } end
return hit(all)
