-- An entry is <owner 16><state 1><flags 1><reserved at 8><resolved at 8><expires at 8><reserved 56><actual 56> and its
-- bookings, 34 bytes each, as place.lua describes them. A charge is seven numbers, by unit. States: p, s, v, x as in pending,
-- settled, voided, expired. Flags: 1 estimated, 2 orphan, 4 tombstone, 8 names: then whose it is follows the bookings, in the
-- library's form, and the provider's id of the request, and how long each of the two is, 2 bytes each.
local NOTHING = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'

-- find returns an entry, or false, and how many fields its shard has; nil if entries of the shard are gone.
local function find(head, key, id)
  local got, n, b = call('HMGET', key, id, ''), call('HLEN', key), byte(id)
  local used = math.floor(byte(head, 69 + math.floor(b / 8)) / 2 ^ (b % 8)) % 2 == 1
  if used ~= (n > 0) or used and (not got[2] or read('>I4', got[2]) ~= n - 1) then return nil end
  return got[1], n
end

-- put writes an entry into its shard, of which find told how many fields it has, and returns the bits of all shards, if they change.
local function put(head, key, id, value, n, new)
  call('HSET', key, id, value, '', pack('>I4', new and (n > 0 and n or 1) or n - 1))
  if n > 0 then return nil end
  local b = byte(id)
  local at = 69 + math.floor(b / 8)
  return sub(head, 69, at - 1) .. pack('>B', byte(head, at) + 2 ^ (b % 8)) .. sub(head, at + 1)
end

-- parts returns the bookings of an entry, whose it is, and the provider's id of the request.
local function parts(value)
  if math.floor(byte(value, 18) / 8) % 2 == 0 then return sub(value, 155), '', '' end
  local w, r = read('>HH', value, #value - 3)
  local ends = #value - 4
  return sub(value, 155, ends - w - r), sub(value, ends - w - r + 1, ends - r), sub(value, ends - r + 1, ends)
end

-- names returns what follows the bookings, and its flag.
local function names(whose, reference)
  if whose == '' and reference == '' then return '', 0 end
  return whose .. reference .. pack('>HH', #whose, #reference), 8
end
