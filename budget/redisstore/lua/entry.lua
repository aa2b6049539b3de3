-- An entry is <owner 16><state 1><flags 1><reserved at 8><resolved at 8><expires at 8><reserved 56><actual 56> and its
-- bookings, 34 bytes each, as place.lua describes them. A charge is seven numbers, by unit. States: p, s, v, x as in pending,
-- settled, voided, expired. Flags: 1 estimated, 2 orphan, 4 tombstone.
local NOTHING = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
