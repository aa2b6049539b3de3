-- include common
-- ARGV: <epoch 16><seen 8><clock 8><guess 8><retention 8>; what would be booked and its terms. Writes nothing.
-- include place
-- include standing
local request, booked, terms = ARGV[1], ARGV[2], ARGV[3]
local lines = #booked / 34
if #request ~= 48 or lines % 1 ~= 0 or #terms ~= 33 * lines then return invalid('request') end
local seen, clock, guess, retention = read('>I8I8I8I8', request, 17)
if clock > NEVER or retention > NEVER then return invalid('request') end
local now, head, all = moment(clock), call('HGET', ledger, 'h'), {}
if lost(head, sub(request, 1, 16), seen) then return LOST end
for i = 1, lines do
  local base, since = place(booked, terms, i, guess, now)
  if not base then return base == nil and invalid('line') or 'T' .. pack('>I8I8', 0, now) end
  if now < read('>I8', head, 41) then
    -- include forgot
    if forgot(booked, terms, i, now, read('>I8', head, 41), retention) then return 'F' .. pack('>I8I8', read('>I8', head, 17), now) end
  end
  local account, settled, pending, list = sub(base, 1, 16), nil, nil, {}
  if byte(booked, 34 * i - 8) == 114 then
    settled, pending, list = total(account, since)
  else
    settled, pending = standing(account, base, since, false, now, read('>I8', head, 25))
  end
  local rules = call('HGET', ledger, account .. 'm') or string.rep('\0', 24)
  local latched, ends = read('>I8I8', rules)
  all[i] = pack('>HBI8I8I8c8H', i - 1, now < ends and 1 or 0, math.min(settled, MAX), math.min(pending, MAX), latched, sub(rules, 17), #list) .. table.concat(list)
end
return 'A' .. pack('>I8I8', read('>I8', head, 17), now) .. table.concat(all)
