-- include common
-- include entry
-- ARGV: <epoch 16><id 16><owner 16><seen 8><clock 8><guess 8><ttl 8><retention 8><from 8><until 8><tentative 1><charge 56>; the call's dimensions; what is booked and its terms: see place.lua. All lines hold as they are from one time
-- until another; at other times they have to be placed.
local head, dims, booked, terms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lines = #booked / 34
if #head ~= 161 or #dims % 16 ~= 0 or lines % 1 ~= 0 or #terms ~= 33 * lines then return invalid('request') end
local seen, clock, guess, ttl, retention, from, ends, tentative = read('>I8I8I8I8I8I8I8B', head, 49)
if clock > NEVER or ttl > NEVER or retention > NEVER then return invalid('request') end
local id, now = sub(head, 17, 32), moment(clock)

local quick, bookings = now >= from and now < ends, booked
local ask, n, bases, sinces = {'HMGET', ledger, 'h'}, 3, {}, {}
for i = 1, lines do
  local o = 34 * i - 33
  local start, unit, kind, amount = read('>I8BBI8', booked, o + 16)
  local account, base = sub(booked, o, o + 15), nil
  if quick then
    if unit < 1 or unit > 7 or amount > MAX or start > MAX or kind ~= 99 and kind ~= 114 then return invalid('line') end
    base = sub(booked, o, o + 23)
    if kind == 114 then start = start - read('>I8', terms, 33 * i - 7) end
  else
    -- include place
    base, start = place(booked, terms, i, guess, now)
    if not base then return base == nil and invalid('line') or 'T' .. pack('>I8I8', 0, now) end
  end
  bases[i], sinces[i], ask[n + 1], ask[n + 2], n = base, start, account .. 'm', base, n + 2
  if kind == 114 then ask[n + 1], n = account .. 'w', n + 1 end
end
local got, entry = call(unpack(ask)), call('HGET', shard, id)
if lost(got[1], sub(head, 1, 16), seen) then return LOST end
local sequence, latest, flags = read('>I8I8I8', got[1], 17)

-- The id comes first, then kill flags, then room.
if entry then
  if byte(entry, 17) ~= 112 then return 'V' .. pack('>I8I8', sequence, now) end
  local same = sub(entry, 1, 16) == sub(head, 33, 48) and sub(entry, 43, 98) == sub(head, 106) and #entry - 154 == #booked
  for o = 0, same and #booked - 1 or -1, 34 do
    same = same and sub(entry, 155 + o, 170 + o) == sub(booked, 1 + o, 16 + o) and byte(entry, 179 + o) == byte(booked, 25 + o)
  end
  if not same then return 'C' .. pack('>I8I8', sequence, now) end
end
if flags > 0 then
  -- include killed
  local flag = killed(dims)
  if flag then return 'K' .. pack('>I8I8', sequence, now) .. flag end
end
if entry then return 'R' .. pack('>I8I8', sequence, now) .. sub(entry, 35, 42) end

local set, m, at, observed = {'HSET', ledger, 'h', ''}, 4, 2, ''
for i = 1, lines do
  local unit, kind, amount = read('>BBI8', booked, 34 * i - 9)
  local state, max = read('>Bi8', terms, 33 * i - 32)
  local account, rules, sums, rolling, window = sub(booked, 34 * i - 33, 34 * i - 18), got[at], got[at + 1], kind == 114, nil
  local settled, pending, held, low, list = 0, 0, 0, nil, nil
  if sums then settled, pending = read('>I8I8', sums) end
  local own, ownPending = settled, pending
  if rolling then
    window, at = got[at + 2], at + 3
    if window then low, settled, pending = read('>I8I8I8', window) end
  else
    at = at + 2
  end
  if rolling and low ~= sinces[i] or now < latest and not rolling then
    -- include total
    settled, pending, list = total(account, sinces[i])
  end
  local latched, overridden = 0, 0
  if rules then
    local ends, other
    latched, ends, other = read('>I8I8i8', rules)
    if now < ends then max, overridden = other, 1 end
  end
  local need = settled + pending + amount
  if need > MAX then return 'O' .. pack('>I8I8', sequence, now) end
  if need > max or latched > now then
    if rolling and need > max and amount <= max and not list then
      -- include total
      settled, pending, list = total(account, sinces[i])
    end
    if not rolling then list = nil end
    local full = pack('>HBI8I8I8c8H', i - 1, overridden, settled, pending, latched, rules and sub(rules, 17) or sub(terms, 33 * i - 31, 33 * i - 24), list and #list or 0) .. (list and table.concat(list) or '')
    if state < 2 then
      if state == 1 and latched <= now and tentative == 0 then
        -- include window
        sequence = sequence + 1
        call('HSET', ledger, 'h', sub(head, 1, 16) .. pack('>I8I8I8', sequence, latest, flags), account .. 'm', pack('>I8', (over(booked, terms, i, now))) .. (rules and sub(rules, 9) or pack('>I8I8', 0, 0)))
      end
      return 'D' .. pack('>I8I8', sequence, now) .. full
    end
    observed = observed .. full
  end
  set[m + 1], set[m + 2], m = bases[i], pack('>I8I8', own, ownPending + amount), m + 2
  if rolling then set[m + 1], set[m + 2], m = account .. 'w', pack('>I8I8I8', sinces[i], settled, pending + amount), m + 2 end
  if not sums then
    -- include announce
    set.new = set.new or {}
    set.new[#set.new + 1] = function() announce(bases[i], booked, terms, i, now, retention) end
  end
end

-- Nothing can refuse it from here on.
for _, make in ipairs(set.new or {}) do make() end
if not quick then
  bookings = {}
  for i = 1, lines do bookings[i] = bases[i] .. sub(booked, 34 * i - 9, 34 * i) end
  bookings = table.concat(bookings)
end
local expires = now + ttl
if expires > NEVER then expires = NEVER end
sequence = sequence + 1
set[4] = sub(head, 1, 16) .. pack('>I8I8I8', sequence, now > latest and now or latest, flags)
call('ZADD', due, format('%d', expires), id)
call('HSET', shard, id, sub(head, 33, 48) .. 'p\0' .. pack('>I8I8I8', now, 0, expires) .. sub(head, 106) .. NOTHING .. bookings)
call(unpack(set))
return 'A' .. pack('>I8I8I8', sequence, now, expires) .. observed
