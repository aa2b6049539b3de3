-- include common
-- KEYS: all 256 shards. ARGV: <epoch 16><seen 8><clock 8><retention 8><limit 8><forget 8>.
-- include post
local request = ARGV[1]
if #request ~= 56 then return invalid('request') end
local seen, clock, retention, limit, forget = read('>I8I8I8I8I8', request, 17)
if clock > NEVER or retention > NEVER or limit > NEVER or forget > NEVER then return invalid('request') end
local known, now, charged, dropped, postponed = sub(request, 1, 16), moment(clock), 0, 0, 0
if lost(call('HGET', ledger, 'h'), known, seen) then return LOST end
local function home(id) return KEYS[5 + byte(id)] end

-- What can't be charged because its sum would overflow stays pending, which counts as much, and is tried again later.
for _, id in ipairs(call('ZRANGEBYSCORE', due, '0', format('%d', now), 'LIMIT', '0', format('%d', limit))) do
  local hash = home(id)
  local value = call('HGET', hash, id)
  if not value or sub(value, 17, 17) ~= 'p' then
    call('ZREM', due, id)
  else
    local reserved, bookings = sub(value, 43, 98), sub(value, 155)
    local set = post(bookings, reserved, nil, true, known, seen, now)
    if set then
      keep(hash, id, value, 'x', 1, now, reserved .. reserved, bookings, retention)
      call(unpack(set))
      charged = charged + 1
    else
      call('ZADD', due, format('%d', now + 60000000), id)
      postponed = postponed + 1
    end
  end
end

-- A bucket with something pending outlives its window by any length of time. An account without buckets is forgotten
-- when neither a latch, an override nor a mark has anything left to say.
local function dropBucket(base)
  local sums = call('HGET', ledger, base)
  if sums and read('>I8', sums, 9) > 0 then
    call('ZADD', due, format('%d', now + 3600000000 - NEVER), base)
    return
  end
  local account, busy = sub(base, 1, 16), false
  call('HDEL', ledger, base)
  call('ZREM', buckets, base)
  call('ZREM', due, base)
  if #call('ZRANGEBYLEX', buckets, '[' .. account, '[' .. account .. '\255', 'LIMIT', '0', '1') > 0 then return end
  call('HDEL', ledger, account .. 'w')
  local terms, quiet = call('HGET', ledger, account .. 'm'), call('HGET', ledger, account .. 'f') or ''
  if terms then
    local latched, ends = read('>I8I8', terms)
    if now >= latched and now >= ends then call('HDEL', ledger, account .. 'm') end
  end
  for o = 1, #quiet, 8 do busy = busy or now < read('>I8', quiet, o) end
  if not busy then call('HDEL', ledger, account .. 'f') end
end

for _, member in ipairs(call('ZRANGEBYSCORE', due, '-inf', format('%d', now - NEVER), 'LIMIT', '0', format('%d', forget))) do
  dropped = dropped + 1
  if #member == 16 then
    call('HDEL', home(member), member)
    call('ZREM', due, member)
  else
    dropBucket(member)
  end
end
local head = call('HGET', ledger, 'h')
local sequence = read('>I8', head, 17)
if dropped + postponed > 0 then
  sequence = sequence + 1
  call('HSET', ledger, 'h', known .. pack('>I8', sequence) .. sub(head, 25))
end
return 'A' .. pack('>I8I8I4I4I4', sequence, now, charged, postponed, dropped)
