-- include total
-- standing says what is settled and pending in a line's window now.
local function standing(account, base, since, rolling, now, latest)
  if rolling then
    local window = call('HGET', ledger, account .. 'w')
    if window then
      local low, settled, pending = read('>I8I8I8', window)
      if low == since then return settled, pending end
    end
  elseif now >= latest then
    local sums = call('HGET', ledger, base)
    if not sums then return 0, 0 end
    return read('>I8I8', sums)
  end
  return total(account, since)
end
