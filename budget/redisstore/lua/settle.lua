-- include common
-- ARGV: <epoch 16><id 16><owner 16><seen 8><clock 8><guess 8><retention 8><estimated 1><whole 1><actual 56>; what would be
-- booked and its terms; marks: for each line <number 2>
-- and a double a mark, the fraction of the Max in force; whose it is; the provider's id of the request; what the lines' accounts are
-- called: see name.lua. Lines are needed to post what was never set
-- aside, and to report marks; whole says that they were sent.
-- include post
local head, booked, terms, marks, whose, reference, called = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local lines = #booked / 34
if #head ~= 138 or lines % 1 ~= 0 or #terms ~= 33 * lines or #whose > 65535 or #reference > 65535 then return invalid('request') end
local seen, clock, guess, retention, flags, whole = read('>I8I8I8I8BB', head, 49)
if clock > NEVER or retention > NEVER then return invalid('request') end
local id, actual, known, now = sub(head, 17, 32), sub(head, 83), sub(head, 1, 16), moment(clock)
for o = 1, 49, 8 do
  local n = read('>I8', actual, o)
  if n > MAX then return invalid('charge') end
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
if value then bookings, was, referred = parts(value) end
if whose == '' then whose = was end
if reference == '' then reference = referred end
if foreign or state == 's' then
  return (foreign and 'C' or sub(value, 99, 154) == actual and 'R' or 'V') .. pack('>I8I8', sequence, now)
elseif state == 'p' or state == 'x' then
  local posted = state == 'x' and sub(value, 99, 154) or nil
  set, refused = post(before, bookings, actual, posted, state == 'p', now)
  if not set then return refused end
else
  if whole == 0 then return 'U' .. pack('>I8I8', 0, now) end
  bookings = {}
  for i = 1, lines do bookings[i] = bases[i] .. sub(booked, 34 * i - 9, 34 * i - 8) .. pack('>I8', 0) end
  bookings = table.concat(bookings)
  local new = {}
  set, refused = post(before, bookings, actual, nil, false, now, new)
  if not set then return refused end
  value, flags = sub(head, 33, 48) .. 'n\0' .. pack('>I8I8I8', now, now, now) .. NOTHING, flags + 2
  latest = now > latest and now or latest
  -- include name
  local texts = split(called, lines)
  if not texts then return invalid('names') end
  for _, i in ipairs(new) do
    -- include announce
    announce(bases[i], booked, terms, i, now, retention)
    name(sub(bases[i], 1, 16), texts[i])
  end
end
sequence = sequence + 1
local shards, more = keep(before, shard, id, fields, fresh, value, 's', flags, now, sub(value, 43, 98) .. actual, bookings, retention, whose, reference)
local usual = not fresh and state ~= 'v' and whole == 0
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
