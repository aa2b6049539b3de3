-- killed returns the first flag that holds for a call: <set at 8> and its payload; or false and the flags with patterns, if these are not
-- those that the caller has matched. A flag is kept under one of its dimensions, or the empty one: under the one that holds least, so
-- that a call reads few flags of others, however many there are. A field holds flags one after the other, each <number of
-- dimensions 1><dimensions><set at 8><until 8><length 4><payload>, until being 0 for one without an end. The field p holds <list 16>, which
-- is another one with each change of it, and the flags with patterns; in the place of dimensions each has the name of the flag.
local function killed(dims, now, list, matches)
  local has, ask = {}, {'HMGET', kills, 'p', ''}
  for o = 1, #dims, 16 do
    local d = sub(dims, o, o + 15)
    has[d], ask[#ask + 1] = true, d
  end
  local got = call(unpack(ask))
  local patterns = got[1] or '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
  if sub(patterns, 1, 16) ~= list then return false, patterns end
  for i = 2, #ask - 2 do
    local flags, o = got[i] or '', 1
    while o < #flags do
      local at, holds = o + 1 + 16 * byte(flags, o), true
      for d = o + 1, at - 1, 16 do holds = holds and has[sub(flags, d, d + 15)] end
      local ends, till = at + 20 + read('>I4', flags, at + 16), read('>I8', flags, at + 8)
      if holds and (till == 0 or now < till) then return sub(flags, at, at + 7) .. sub(flags, at + 20, ends - 1) end
      o = ends
    end
  end
  if matches == '' then return nil end
  local matched, o = {}, 17
  for m = 1, #matches, 16 do matched[sub(matches, m, m + 15)] = true end
  while o < #patterns do
    local at = o + 17
    local ends, till = at + 20 + read('>I4', patterns, at + 16), read('>I8', patterns, at + 8)
    if matched[sub(patterns, o + 1, o + 16)] and (till == 0 or now < till) then return sub(patterns, at, at + 7) .. sub(patterns, at + 20, ends - 1) end
    o = ends
  end
  return nil
end
