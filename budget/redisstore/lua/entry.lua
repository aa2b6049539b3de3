-- An entry is <owner 16><state 1><flags 1><reserved at 8><resolved at 8><expires at 8><reserved 56><actual 56> and its
-- bookings, 34 bytes each, as place.lua describes them. A charge is seven numbers, by unit. States: p, s, v, x as in pending,
-- settled, voided, expired. Flags: 1 estimated, 2 orphan, 4 tombstone.
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
