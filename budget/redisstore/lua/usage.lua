-- A row of usage is <number of units 1><a sum for each 8> and whose it is, in the library's form.
local OTHER = '@OTHER@' -- the row of what got none of its own
local ROWS = '\255\255\255\255\255\255\255\255\255\255\255\255\255\255\255\255'

-- dayOf is the UTC day of a moment.
local function dayOf(at) return math.floor(at / 86400000000) end

-- uses returns what an entry has added to usage, or will: of each a row and an amount. Shares are as its end holds them.
local function uses(row, posted, shares)
  if not row or posted == NOTHING then return {} end
  if shares == '' then return {row, posted} end
  local all, n = {}, byte(shares)
  if n > UNITS then error(redis.error_reply('ERR bedrockguard: the ledger counts ' .. n .. ' units, this library knows ' .. UNITS .. ': use a newer library')) end
  for o = 2, #shares, 16 + 8 * n do
    all[#all + 1] = sub(shares, o, o + 15)
    all[#all + 1] = sub(shares, o + 16, o + 15 + 8 * n) .. string.rep('\0', 8 * (UNITS - n))
  end
  return all
end

-- joined puts uses into the form in which an entry's end holds them.
local function joined(all) return #all > 0 and UNIT .. table.concat(all) or '' end

-- divided takes shares apart that were sent, of each <row 16><amount><length 2><whose>: uses, and whose they are. Nil if they are no shares.
local function divided(text)
  local all, whose, o = {}, {}, 1
  while o <= #text do
    local at = o + 16 + 8 * UNITS
    if #text < at + 1 then return nil end
    local n = read('>H', text, at)
    if #text < at + 1 + n then return nil end
    for i = o + 16, at - 8, 8 do
      if read('>I8', text, i) > MAX then return nil end
    end
    local row = sub(text, o, o + 15)
    all[#all + 1], all[#all + 2] = row, sub(text, o + 16, at - 1)
    whose[row], o = sub(text, at + 2, at + 1 + n), at + 2 + n
  end
  return all, whose
end

-- charge adds to set what it takes to have the uses add in the place of the uses take, in the rows of a day, of which there may be so
-- many. It returns nil and an answer if a sum can't hold that. A row that something else took away has nothing left to be taken out of.
local function charge(set, head, now, day, take, add, whose, most)
  day = pack('>I4', day)
  local rows, order, count = {}, {}, nil
  -- at returns a row as it will be, or nil if there is none.
  local function at(key)
    local field = day .. key
    if rows[field] == nil then
      local text = call('HGET', ledger, field)
      rows[field] = false
      if text then
        local n = byte(text)
        if n > UNITS then error(redis.error_reply('ERR bedrockguard: the ledger counts ' .. n .. ' units, this library knows ' .. UNITS .. ': use a newer library')) end
        local sums = {read('>' .. string.rep('I8', n), text, 2)}
        for u = n + 1, UNITS do sums[u] = 0 end
        rows[field], order[#order + 1] = {sums = sums, rest = sub(text, 2 + 8 * n)}, field
      end
    end
    return rows[field] or nil
  end
  local function make(key, text)
    local field, sums = day .. key, {}
    for u = 1, UNITS do sums[u] = 0 end
    rows[field], order[#order + 1], count = {sums = sums, rest = text, new = true}, field, count + 1
    return rows[field]
  end
  local function change(row, amount, sign)
    local more = {read(SUMS, amount)}
    for u = 1, UNITS do row.sums[u] = row.sums[u] + sign * more[u] end
  end
  for i = 1, #take, 2 do
    local row = at(take[i]) or at(OTHER)
    if row then change(row, take[i + 1], -1) end
  end
  for i = 1, #add, 2 do
    local row = at(add[i]) or at(OTHER)
    if not row then
      count = count or call('ZLEXCOUNT', buckets, '[' .. ROWS .. day, '[' .. ROWS .. day .. ROWS)
      row = count < most and make(add[i], whose[add[i]] or '') or make(OTHER, '')
    end
    change(row, add[i + 1], 1)
  end
  for _, field in ipairs(order) do
    local row = rows[field]
    for u = 1, UNITS do
      if row.sums[u] > MAX then return nil, 'O' .. sub(head, 17, 24) .. pack('>I8', now) end
      if row.sums[u] < 0 then row.sums[u] = 0 end
    end
    set[#set + 1], set[#set + 2] = field, UNIT .. pack(SUMS, unpack(row.sums, 1, UNITS)) .. row.rest
    if row.new then
      set.rows = set.rows or {}
      set.rows[#set.rows + 1] = ROWS .. field
    end
  end
  return set
end
