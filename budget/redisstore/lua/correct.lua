-- include common
-- include change
-- ARGV: <epoch 16><id 16><seen 8><clock 8><retention 8><rows of usage a day 8><actual>; the change and its row: see change.lua; how
-- actual divides: see usage.lua. Without that, what had shares before is all of the first one's.
-- include post
-- include usage
local head, change, row = ARGV[1], ARGV[2], ARGV[3]
if #head ~= 64 + 8 * UNITS or #change ~= 40 then return invalid('request') end
local seen, clock, retention, most = read('>I8I8I8I8', head, 33)
if clock > NEVER or retention > NEVER then return invalid('request') end
local id, actual, now = sub(head, 17, 32), sub(head, 65), moment(clock)
local given, whoseShares = divided(ARGV[4])
if not given then return invalid('shares') end
local @B@ = read(SUMS, actual)
if @B>MAX@ then return invalid('charge') end

local before = call('HGET', ledger, 'h')
if lost(before, sub(head, 1, 16), seen) then return LOST end
local value, fields = find(before, shard, id)
if value == nil then return LOST end
local answer = judge(change, before)
local fresh = answer == 'A'
local state, flags = value and sub(value, 17, 17) or 'n', value and byte(value, 18) or 0
local reserved, posted, usage, bookings, whose, reference, shares, _ = '', '', nil, '', '', '', '', nil
if value then
  reserved, posted, _, usage = opened(value)
  bookings, whose, reference, shares = parts(value)
end
local has = uses(usage, posted, shares)
if not value or state == 'p' or math.floor(flags / 4) % 2 == 1 then
  answer, fresh = 'N', false
elseif fresh and posted == actual and flags % 2 == 0 and (#given == 0 or joined(given) == joined(has)) then
  answer = 'R'
end
local sequence, latest, flagged = read('>I8I8I8', before, 17)
local set, refused = post(before, answer == 'A' and bookings or '', actual, posted, false, now)
if not set then return refused end
if answer == 'A' then
  usage = usage or NOBODY
  if #given == 0 and shares ~= '' and actual ~= NOTHING then given = {has[1], actual} end
  shares = joined(given)
  whoseShares[usage] = whoseShares[usage] or usage ~= NOBODY and whose or ''
  set, refused = charge(set, before, now, dayOf(read('>I8', value, 19)), has, uses(usage, actual, shares), whoseShares, most)
  if not set then return refused end
end
if fresh then note(change, posted, row, now) end
if answer ~= 'A' then
  if fresh then
    sequence = sequence + 1
    seal(recount(before), sequence, latest, flagged)
  end
  return answer .. pack('>I8I8', sequence, now) .. state
end
local shards = keep(before, shard, id, fields, false, value, 's', flags - flags % 2, now, sub(value, 35, 42) .. UNIT .. usage .. reserved, actual, bookings, retention, whose, reference, shares)
write(set)
seal(recount(before), sequence + 1, latest, flagged, shards)
return 'A' .. pack('>I8I8', sequence + 1, now) .. state
