-- An entry is <owner 16><state 1><flags 1><reserved at 8><resolved at 8><expires at 8><number of units 1><row of usage 16><reserved><actual>
-- and its bookings, 34 bytes each, as place.lua describes them. A charge is a number for each unit. States: p, s, v, x as in pending,
-- settled, voided, expired. Flags: 1 estimated, 2 orphan, 4 tombstone, 8 names: then whose it is follows the bookings, in the
-- library's form, and the provider's id of the request, and how long each of the two is, 2 bytes each. 16: without it an entry has neither a number of units,
-- which are 7, nor a row of usage, and nothing of it was ever added to usage. 32 shares: then how its amount divides stands last, <number of
-- units 1> and of each <row of usage 16><amount>, and how long that is, 2 bytes.
local NOTHING = '@NOTHING@'

-- find returns an entry, or false, and how many fields its shard has; nil if entries of the shard are gone.
local function find(head, key, id)
  local got, n, b = call('HMGET', key, id, ''), call('HLEN', key), byte(id)
  local used = math.floor(byte(head, 69 + math.floor(b / 8)) / 2 ^ (b % 8)) % 2 == 1
  if used ~= (n > 0) or used and (not got[2] or read('>I4', got[2]) ~= n - 1) then return nil end
  return got[1], n
end

-- opened returns what an entry had reserved and has posted, where its bookings begin, and its row of usage, if it has one. It raises an
-- error if the entry counts units that are not known: it is called before anything is written.
local function opened(value)
  local n, at, row = 7, 43, nil
  if byte(value, 18) >= 16 then n, at, row = byte(value, 43), 60, sub(value, 44, 59) end
  if n > UNITS then error(redis.error_reply('ERR bedrockguard: the ledger counts ' .. n .. ' units, this library knows ' .. UNITS .. ': use a newer library')) end
  local reserved, posted = sub(value, at, at + 8 * n - 1), sub(value, at + 8 * n, at + 16 * n - 1)
  if n < UNITS then reserved, posted = reserved .. string.rep('\0', 8 * (UNITS - n)), posted .. string.rep('\0', 8 * (UNITS - n)) end
  return reserved, posted, at + 16 * n, row
end

-- put writes an entry into its shard, of which find told how many fields it has, and returns the bits of all shards, if they change.
local function put(head, key, id, value, n, new)
  call('HSET', key, id, value, '', pack('>I4', new and (n > 0 and n or 1) or n - 1))
  if n > 0 then return nil end
  local b = byte(id)
  local at = 69 + math.floor(b / 8)
  return sub(head, 69, at - 1) .. pack('>B', byte(head, at) + 2 ^ (b % 8)) .. sub(head, at + 1)
end

-- parts returns the bookings of an entry, whose it is, the provider's id of the request, and how its amount divides.
local function parts(value)
  local flags, at, ends, shares = byte(value, 18), 155, #value, ''
  if flags >= 16 then at = 60 + 16 * byte(value, 43) end
  if flags >= 32 then
    local n = read('>H', value, ends - 1)
    shares, ends = sub(value, ends - 1 - n, ends - 2), ends - 2 - n
  end
  if math.floor(flags / 8) % 2 == 0 then return sub(value, at, ends), '', '', shares end
  local w, r = read('>HH', value, ends - 3)
  ends = ends - 4
  return sub(value, at, ends - w - r), sub(value, ends - w - r + 1, ends - r), sub(value, ends - r + 1, ends), shares
end

-- names returns what follows the bookings, and the flags of an entry of this layout.
local function names(whose, reference, shares)
  local tail, flags = '', 16
  if whose ~= '' or reference ~= '' then tail, flags = whose .. reference .. pack('>HH', #whose, #reference), 24 end
  if shares and shares ~= '' then tail, flags = tail .. shares .. pack('>H', #shares), flags + 32 end
  return tail, flags
end
