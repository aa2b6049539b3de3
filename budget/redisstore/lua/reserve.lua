-- include common
-- include entry
-- ARGV: <epoch 16><id 16><owner 16><seen 8><clock 8><guess 8><ttl 8><retention 8><from 8><until 8><asking 1><number of units 1><row of usage 16><charge>; the
-- call's dimensions; what is booked and its terms: see place.lua; whose it is; what the lines' accounts are called: see name.lua; the list of flags with patterns that
-- the caller knows, and which of them hold for the call, 16 bytes each: see killed.lua. All lines hold as they are from one time until another; at
-- other times they have to be placed. Asking is 1 for a tentative reservation, which latches nothing, and 2 for one that observed
-- lines refuse, too.
local head, dims, booked, terms, whose, called = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local lines = #booked / 34
if #head ~= 122 + 8 * UNITS or byte(head, 106) ~= UNITS or #dims % 16 ~= 0 or #ARGV[7] % 16 ~= 0 or lines % 1 ~= 0 or #terms ~= 33 * lines or #whose > 65535 then return invalid('request') end
local seen, clock, guess, ttl, retention, from, ends, asking = read('>I8I8I8I8I8I8I8B', head, 49)
if clock > NEVER or ttl > NEVER or retention > NEVER then return invalid('request') end
local id, now = sub(head, 17, 32), moment(clock)

-- Everything is read at once: the head, the account's terms and its bucket of now, and what a rolling window adds up to.
local quick = now >= from and now < ends
-- Tables are made with room for eight lines, because growing one costs more than filling it.
local ask, n = {'HMGET', ledger, 'h', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 3
local accounts, bases, sinces = {0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0}
for i = 1, lines do
  local o = 34 * i - 33
  local start, unit, kind, amount = read('>I8BBI8', booked, o + 16)
  local account, base = sub(booked, o, o + 15), nil
  if quick then
    if unit < 1 or unit > UNITS or amount > MAX or start > MAX or kind ~= 99 and kind ~= 114 then return invalid('line') end
    base = sub(booked, o, o + 23)
    if kind == 114 then start = start - read('>I8', terms, 33 * i - 7) end
  else
    -- include place
    base, start = place(booked, terms, i, guess, now)
    if not base then return base == nil and invalid('line') or 'T' .. pack('>I8I8', 0, now) end
  end
  accounts[i], bases[i], sinces[i], ask[n + 1], ask[n + 2], n = account, base, start, account .. 'm', base, n + 2
  if kind == 114 then ask[n + 1], n = account .. 'w', n + 1 end
end
local got = call(unpack(ask, 1, n))
if lost(got[1], sub(head, 1, 16), seen) then return LOST end
local entry, fields = find(got[1], shard, id)
if entry == nil then return LOST end
local sequence, latest, flags, judged = read('>I8I8I8I8', got[1], 17)
if now < judged then
  -- include forgot
  for i = 1, lines do
    if forgot(booked, terms, i, now, judged, retention) then return 'F' .. pack('>I8I8', sequence, now) end
  end
end

-- The id comes first, then kill flags, then room.
if entry then
  if byte(entry, 17) ~= 112 then return 'V' .. pack('>I8I8', sequence, now) end
  local was, reserved = parts(entry), nil
  reserved = opened(entry)
  local same = sub(entry, 1, 16) == sub(head, 33, 48) and reserved == sub(head, 123) and #was == #booked
  for o = 1, same and #booked or 0, 34 do
    same = same and sub(was, o, o + 15) == sub(booked, o, o + 15) and byte(was, o + 24) == byte(booked, o + 24)
  end
  if not same then return 'C' .. pack('>I8I8', sequence, now) end
end
if flags > 0 then
  -- include killed
  local flag, patterns = killed(dims, now, sub(ARGV[7], 1, 16), sub(ARGV[7], 17))
  if patterns then return 'P' .. pack('>I8I8', sequence, now) .. patterns end
  if flag then return 'K' .. pack('>I8I8', sequence, now) .. flag end
end
if entry then return 'R' .. pack('>I8I8', sequence, now) .. sub(entry, 35, 42) end

local set, m, at, denied, observed, latches, new = {'HSET', ledger, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 2, 2, '', '', nil, nil
local tentative, strict, fresh = asking % 2 == 1, asking >= 2, false -- fresh: a rolling window has no sums of its own yet
for i = 1, lines do
  local rolling, amount = byte(booked, 34 * i - 8) == 114, read('>I8', booked, 34 * i - 7)
  local state, max = read('>Bi8', terms, 33 * i - 32)
  local account, rules, sums, window = accounts[i], got[at], got[at + 1], rolling and got[at + 2]
  at = at + (rolling and 3 or 2)

  -- The sums of the bucket of now are those of a calendar window, unless the clock went back; a rolling one has its own.
  local settled, pending, low, list = 0, 0, nil, nil
  if sums then settled, pending = read('>I8I8', sums) end
  set[m + 1], set[m + 2], m = bases[i], pack('>I8I8', settled, pending + amount) .. (sums and sub(sums, 17) or ''), m + 2
  if window then low, settled, pending = read('>I8I8I8', window) end
  if rolling and low ~= sinces[i] or not rolling and now < latest then
    -- include total
    settled, pending, list = total(account, sinces[i])
  end
  local latched, overridden = 0, 0
  if rules then
    local till, other
    latched, till, other = read('>I8I8i8', rules)
    if now < till then max, overridden = other, 1 end
  end

  local need = settled + pending + amount
  if need > MAX then return 'O' .. pack('>I8I8', sequence, now) end
  if need > max or latched > now then
    if rolling and need > max and amount <= max and not list then
      -- include total
      settled, pending, list = total(account, sinces[i])
    end
    if not rolling then list = nil end
    local full = pack('>HBI8I8I8c8H', i - 1, overridden, settled, pending, latched, rules and sub(rules, 17) or '\0\0\0\0\0\0\0\0',
      list and #list or 0) .. (list and table.concat(list) or '')
    local refuses = state < 2 or strict
    if refuses then denied = denied .. full else observed = observed .. full end
    if state % 2 == 1 and latched <= now and not tentative then
      -- include window
      latches = latches or {}
      latches[#latches + 1] = {refuses, account .. 'm', pack('>I8', (over(booked, terms, i, now))) .. (rules and sub(rules, 9) or pack('>I8I8', 0, 0))}
    end
  end
  fresh = fresh or rolling and not window
  if rolling then set[m + 1], set[m + 2], m = account .. 'w', pack('>I8I8I8', sinces[i], settled, pending + amount), m + 2 end
  if not sums then
    new = new or {}
    new[#new + 1] = i
  end
end

if denied ~= '' then
  local shut = {'HSET', ledger}
  for _, latch in ipairs(latches or {}) do
    if latch[1] then
      shut[#shut + 1], shut[#shut + 2] = latch[2], latch[3]
      call('ZADD', buckets, '0', sub(latch[2], 1, 16))
    end
  end
  if #shut > 2 then
    sequence = sequence + 1
    call(unpack(shut))
    seal(got[1], sequence, latest, flags)
  end
  return 'D' .. pack('>I8I8', sequence, now) .. denied
end

-- Nothing refuses it any more.
for _, latch in ipairs(latches or {}) do set[m + 1], set[m + 2], m = latch[2], latch[3], m + 2 end
if new then
  -- include announce
  -- include name
  local texts = split(called, lines)
  if not texts then return invalid('names') end
  for _, i in ipairs(new) do
    announce(bases[i], booked, terms, i, now, retention)
    name(accounts[i], texts[i])
  end
end
if not quick then
  local bookings = {}
  for i = 1, lines do bookings[i] = bases[i] .. sub(booked, 34 * i - 9, 34 * i) end
  booked = table.concat(bookings)
end
local expires = now + ttl < NEVER and now + ttl or NEVER
local more = call('ZADD', due, format('%d', expires), id)
local tail, named = names(whose, '')
local value = sub(head, 33, 48) .. 'p' .. pack('>BI8I8I8', named, now, 0, expires) .. sub(head, 106) .. NOTHING .. booked .. tail
local shards = put(got[1], shard, id, value, fields, true)
latest = now > latest and now or latest
if new or latches or fresh then
  call(unpack(set, 1, m))
  seal(got[1], sequence + 1, latest, flags, shards)
else
  set[m + 1], set[m + 2] = 'h', sealed(got[1], sequence + 1, latest, flags, more, shards)
  call(unpack(set, 1, m + 2))
end
return 'A' .. pack('>I8I8I8', sequence + 1, now, expires) .. observed
