-- include common
-- ARGV: <epoch 16><id 16><owner 16><seen 8><clock 8><guess 8><retention 8><rows of usage a day 8><row of usage 16><estimated 1><whole 1><actual>; what would be
-- booked and its terms; marks: for each line <number 2>
-- and a double a mark, the fraction of the Max in force; whose it is; the provider's id of the request; what the lines' accounts are
-- called: see name.lua; how actual divides: see usage.lua. The row of usage is zeros when nobody says. Lines are needed to post what was never set
-- aside, and to report marks; whole says that they were sent.
-- include post
local head, booked, terms, marks, whose, reference, called = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local lines = #booked / 34
if #head ~= 106 + 8 * UNITS or lines % 1 ~= 0 or #terms ~= 33 * lines or #whose > 65535 or #reference > 65535 then return invalid('request') end
local seen, clock, guess, retention, most, usage, flags, whole = read('>I8I8I8I8I8c16BB', head, 49)
if clock > NEVER or retention > NEVER then return invalid('request') end
local EMPTY = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
local id, actual, known, now = sub(head, 17, 32), sub(head, 107), sub(head, 1, 16), moment(clock)
local @B@ = read(SUMS, actual)
if @B>MAX@ then return invalid('charge') end

local whoseShares, spread = {}, ''
if ARGV[8] ~= '' then
  -- include usage
  local given
  given, whoseShares = divided(ARGV[8])
  if not given then return invalid('shares') end
  spread = joined(given)
end

local bases, sinces, o = {}, {}, 1
for i = 1, lines do
  if #marks < o + 1 then return invalid('marks') end
  o = o + 2 + 8 * read('>H', marks, o)
  -- include place
  bases[i], sinces[i] = place(booked, terms, i, guess, now)
  if not bases[i] then return bases[i] == nil and invalid('line') or 'T' .. pack('>I8I8', 0, now) end
end
if o ~= #marks + 1 then return invalid('marks') end
local before = call('HGET', ledger, 'h')
if lost(before, known, seen) then return LOST end
local value, fields = find(before, shard, id)
if value == nil then return LOST end
local sequence, latest, flagged = read('>I8I8I8', before, 17)
local fresh, state, set, refused = not value, value and sub(value, 17, 17) or 'n', nil, nil
local foreign, bookings, was, referred = value and sub(value, 1, 16) ~= sub(head, 33, 48), '', '', ''
local reserved, done, kept, shares, field, middle, row, new, _ = NOTHING, NOTHING, nil, '', nil, nil, nil, nil, nil
if value then
  bookings, was, referred, shares = parts(value)
  if state == 'p' and byte(value, 18) >= 16 and byte(value, 43) == UNITS then
    kept = sub(value, 44, 59)
    if usage == EMPTY or usage == kept then usage, middle = kept, sub(value, 35, 59 + 8 * UNITS) end
  end
  if not middle then reserved, done, _, kept = opened(value) end
end
if whose == '' then whose = was end
if reference == '' then reference = referred end
if foreign or state == 's' then
  return (foreign and 'C' or done == actual and 'R' or 'V') .. pack('>I8I8', sequence, now)
elseif state == 'p' or state == 'x' then
  if usage == EMPTY then usage = kept or NOBODY end
  field = pack('>I4', math.floor(read('>I8', value, 19) / 86400000000)) .. usage
  set, row = post(before, bookings, actual, state == 'x' and done or nil, state == 'p', now, nil, field)
  if not set then return row end
else
  if whole == 0 then return 'U' .. pack('>I8I8', 0, now) end
  bookings = {}
  for i = 1, lines do bookings[i] = bases[i] .. sub(booked, 34 * i - 9, 34 * i - 8) .. pack('>I8', 0) end
  bookings = table.concat(bookings)
  new = {}
  set, refused = post(before, bookings, actual, nil, false, now, new)
  if not set then return refused end
  value, flags, reserved, done, kept, shares = sub(head, 33, 48) .. 'n\0' .. pack('>I8I8I8', now, now, now), flags + 2, NOTHING, NOTHING, nil, ''
  if usage == EMPTY then usage, whose = NOBODY, ARGV[5] end
  latest = now > latest and now or latest
end

-- What is posted is added to usage, in the place of what was: after all else that can refuse, and before anything is written.
if row and ARGV[8] == '' and state == 'p' and byte(row) == UNITS then -- the usual case, where the row is there: without a table
  local @A@ = read(SUMS, row, 2)
  if @A+B>MAX@ then return 'O' .. pack('>I8I8', sequence, now) end
  set[#set + 1], set[#set + 2] = field, UNIT .. pack(SUMS, @A+B@) .. sub(row, 2 + 8 * UNITS)
else
  -- include usage
  whoseShares[usage] = whoseShares[usage] or usage ~= NOBODY and whose or ''
  set, refused = charge(set, before, now, dayOf(read('>I8', value, 19)), uses(kept, done, shares), uses(usage, actual, spread), whoseShares, most)
  if not set then return refused end
end
if new then
  -- include name
  -- include announce
  local texts = split(called, lines)
  if not texts then return invalid('names') end
  for _, i in ipairs(new) do
    announce(bases[i], booked, terms, i, now, retention)
    name(sub(bases[i], 1, 16), texts[i])
  end
end
sequence = sequence + 1
middle = middle or sub(value, 35, 42) .. UNIT .. usage .. reserved
local shards, more = keep(before, shard, id, fields, fresh, value, 's', flags, now, middle, actual, bookings, retention, whose, reference, spread)
local usual = not fresh and state ~= 'v' and whole == 0 and not set.rows
if usual then set[#set + 1], set[#set + 2] = 'h', sealed(before, sequence, latest, flagged, more, shards) end
write(set)
if usual then return 'A' .. pack('>I8I8', sequence, now) .. state end

-- Marks that settled spend stands at or above, and that were not reported in this window yet.
local crossed = ''
o = 1
for i = 1, lines do
  local count = read('>H', marks, o)
  if count > 0 then
    -- include standing
    -- include window
    local account = sub(bases[i], 1, 16)
    local rules, max, overridden, override = call('HGET', ledger, account .. 'm'), read('>i8', terms, 33 * i - 31), 0, '\0\0\0\0\0\0\0\0'
    if rules then
      local till, other = read('>I8i8', rules, 9)
      if now < till then max, overridden, override = other, 1, sub(rules, 17) end
    end
    local settled = standing(account, bases[i], sinces[i], byte(booked, 34 * i - 8) == 114, now, latest)
    local quiet, fired = call('HGET', ledger, account .. 'f') or '', {}
    for m = 1, count do
      local till = 8 * m <= #quiet and read('>I8', quiet, 8 * m - 7) or 0
      local fraction = read('>d', marks, o + 8 * m - 6)
      if settled >= (fraction < 1 and math.ceil(fraction * max) or max) and now >= till then
        till = over(booked, terms, i, now)
        fired.any, crossed = true, crossed .. pack('>HHI8Bc8', i - 1, m - 1, settled, overridden, override)
      end
      fired[m] = pack('>I8', till)
    end
    if fired.any then call('HSET', ledger, account .. 'f', table.concat(fired) .. sub(quiet, 8 * count + 1)) end
  end
  o = o + 2 + 8 * count
end
seal(before, sequence, latest, flagged, shards)
return 'A' .. pack('>I8I8', sequence, now) .. state .. crossed
