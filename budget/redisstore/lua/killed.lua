-- killed returns the first flag whose dimensions are all among the call's: <set at 8> and its payload. A flag is kept under
-- one of its dimensions, or the empty one: under the one that holds least, so that a call reads few flags of others, however many
-- there are. A field holds flags one
-- after the other, each <number of dimensions 1><dimensions><set at 8><length 4><payload>.
local function killed(dims)
  local has, ask = {}, {'HMGET', kills, ''}
  for o = 1, #dims, 16 do
    local d = sub(dims, o, o + 15)
    has[d], ask[#ask + 1] = true, d
  end
  local got = call(unpack(ask))
  for i = 1, #ask - 2 do
    local flags, o = got[i] or '', 1
    while o < #flags do
      local at, holds = o + 1 + 16 * byte(flags, o), true
      for d = o + 1, at - 1, 16 do holds = holds and has[sub(flags, d, d + 15)] end
      local ends = at + 12 + read('>I4', flags, at + 8)
      if holds then return sub(flags, at, at + 7) .. sub(flags, at + 12, ends - 1) end
      o = ends
    end
  end
  return nil
end
