-- include common
-- KEYS: all 256 shards. ARGV: <epoch 16><seen 8><clock 8><retention 8><limit 8><forget 8><advance 8><rows of usage a day 8><how long usage is kept 8>. The time by which things are
-- forgotten follows the clock by at most so much in one step, so that a clock that jumps ahead and back forgets nothing that counts.
-- include post
-- include usage
local request = ARGV[1]
if #request ~= 80 then return invalid('request') end
local seen, clock, retention, limit, forget, advance, most, usageKept = read('>I8I8I8I8I8I8I8I8', request, 17)
if clock > NEVER or retention > NEVER or limit > NEVER or forget > NEVER or advance > NEVER or most > NEVER or usageKept > NEVER then return invalid('request') end
local known, now, charged, dropped, postponed = sub(request, 1, 16), moment(clock), 0, 0, 0
local head = call('HGET', ledger, 'h')
if lost(head, known, seen) then return LOST end
local function home(id) return KEYS[6 + byte(id)] end
local sequence, latest, flags = read('>I8I8I8', head, 17)
local judged = read('>I8', call('HGET', ledger, 'j') or pack('>I8', now))
if now > judged then judged = now < judged + advance and now or judged + advance end
local by = now < judged and now or judged

-- What can't be charged because its sum would overflow stays pending, which counts as much, and is tried again later.
for _, id in ipairs(call('ZRANGEBYSCORE', due, '0', format('%d', now), 'LIMIT', '0', format('%d', limit))) do
  local hash = home(id)
  local value, fields = find(head, hash, id)
  if value == nil or value and byte(value, 18) >= 16 and byte(value, 43) > UNITS then
    -- Entries of this shard are gone, or it is one of a newer library: whoever asks for one of them is told.
    call('ZADD', due, format('%d', now + 60000000), id)
    postponed = postponed + 1
  elseif not value or sub(value, 17, 17) ~= 'p' then
    call('ZREM', due, id)
  else
    local bookings, whose, reference = parts(value)
    local reserved, _, _, row = opened(value)
    row = row or NOBODY
    local set, sound = post(head, bookings, reserved, nil, true, now), true
    if set and reserved ~= NOTHING then
      sound, set = pcall(charge, set, head, now, dayOf(read('>I8', value, 19)), {}, {row, reserved}, {[row] = row ~= NOBODY and whose or ''}, most)
    end
    if sound and set then
      keep(head, hash, id, fields, false, value, 'x', 1, now, sub(value, 35, 42) .. UNIT .. row .. reserved, reserved, bookings, retention, whose, reference)
      write(set)
      charged = charged + 1
    else
      call('ZADD', due, format('%d', now + 60000000), id)
      postponed = postponed + 1
    end
  end
end

local gone = false

-- Flags of a field that ended so long ago that even a clock that goes back finds them ended. The field is looked at again for others.
local function dropFlags(member)
  local field, first, kept, soonest, ended = sub(member, 2), member == 'kp' and 17 or 1, {}, nil, 0
  local text = call('HGET', kills, field) or ''
  local p = first
  while p < #text do
    local at = p + 1 + 16 * byte(text, p)
    local ends, till = at + 20 + read('>I4', text, at + 16), read('>I8', text, at + 8)
    if till > 0 and till + @FLAGS@ <= by then
      ended = ended + 1
    else
      kept[#kept + 1] = sub(text, p, ends - 1)
      if till > 0 and (not soonest or till < soonest) then soonest = till end
    end
    p = ends
  end
  call('ZREM', due, member)
  if soonest then call('ZADD', due, format('%d', soonest + @FLAGS@ - NEVER), member) end
  if ended == 0 then return end
  flags = flags - ended
  if #kept == 0 then
    call('HDEL', kills, field)
  else -- a list of patterns that is another one has another name
    call('HSET', kills, field, (first == 17 and sub(redis.sha1hex(text), 1, 16) or '') .. table.concat(kept))
  end
end

-- What a latch, an override or a mark of an account has left to say ends at some moments: whether one of them is yet to come by the
-- clock, of the terms and of the marks, and whether one has passed by the clock and not by the time that forgetting goes by. If the
-- clock had jumped ahead, that one is in force again when it is right.
local function ends(account)
  local old, terms, quiet = by - retention, call('HGET', ledger, account .. 'm'), call('HGET', ledger, account .. 'f') or ''
  local live, marked, passing = false, false, false
  if terms then
    local latched, till = read('>I8I8', terms)
    live = now < latched or now < till
    passing = latched <= now and latched > old or till <= now and till > old
  end
  for o = 1, #quiet, 8 do
    local at = read('>I8', quiet, o)
    marked = marked or now < at
    passing = passing or at <= now and at > old
  end
  return live, marked, passing
end

-- A bucket with something pending outlives its window by any length of time, and the last one of an account what is passing. An
-- account without buckets is forgotten when neither a latch, an override nor a mark has anything left to say.
local function dropBucket(base)
  local sums, account = call('HGET', ledger, base), sub(base, 1, 16)
  local last = #call('ZRANGEBYLEX', buckets, '(' .. account, '[' .. account .. '\255', 'LIMIT', '0', '2') < 2
  local live, marked, passing = false, false, false
  if last then live, marked, passing = ends(account) end
  if sums and read('>I8', sums, 9) > 0 or passing then
    call('ZADD', due, format('%d', (passing and by or now) + 3600000000 - NEVER), base)
    return
  end
  gone = true
  call('HDEL', ledger, base)
  call('ZREM', buckets, base)
  call('ZREM', due, base)
  if not last then return end
  call('HDEL', ledger, account .. 'w')
  if not live then call('HDEL', ledger, account .. 'm') end
  if not marked then call('HDEL', ledger, account .. 'f') end
  if not live and not marked then
    call('HDEL', ledger, account .. 'n')
    call('ZREM', buckets, account)
  end
end

-- What an entry had posted stays told by its buckets, as forgotten.
local function forgetPosted(actual, bookings)
  for o = 1, #bookings, 34 do
    local base, n = sub(bookings, o, o + 23), read('>I8', actual, 8 * byte(bookings, o + 24) - 7)
    local sums = n > 0 and call('HGET', ledger, base)
    if sums then
      local before = #sums > 16 and read('>I8', sums, 17) or 0
      call('HSET', ledger, base, sub(sums, 1, 16) .. pack('>I8', before + n))
    end
  end
end

for _, member in ipairs(call('ZRANGEBYSCORE', due, '-inf', format('%d', by - NEVER), 'LIMIT', '0', format('%d', forget))) do
  dropped = dropped + 1
  if #member == 16 then
    local hash = home(member)
    local value, fields = find(head, hash, member)
    if value then
      gone = true
      local n, at = 7, 43
      if byte(value, 18) >= 16 then n, at = byte(value, 43), 60 end
      forgetPosted(sub(value, at + 8 * n, at + 16 * n - 1), (parts(value)))
      call('HDEL', hash, member)
      call('HSET', hash, '', pack('>I4', fields - 2))
    end
    call('ZREM', due, member)
  elseif #member == 24 then
    dropBucket(member)
  else
    dropFlags(member)
  end
end
local oldest, room = ROWS .. pack('>I4', math.max(0, dayOf(by - usageKept))), math.max(0, forget - dropped)
for _, member in ipairs(call('ZRANGEBYLEX', buckets, '[' .. ROWS, '(' .. oldest, 'LIMIT', '0', format('%d', room))) do
  dropped = dropped + 1
  call('ZREM', buckets, member)
  call('HDEL', ledger, sub(member, 17))
end
head = sub(head, 1, 60) .. pack('>I4', call('HLEN', kills)) .. sub(head, 65)
call('HSET', ledger, 'j', pack('>I8', judged))
if charged + dropped + postponed > 0 then sequence = sequence + 1 end
seal(head, sequence, latest, flags, nil, gone and pack('>I8', math.max(by, read('>I8', head, 41))))
return 'A' .. pack('>I8I8I4I4I4', sequence, now, charged, postponed, dropped)
