// Package lease puts escrow leases in front of a store that many processes share (the store inside), so that most calls cost no
// round trip. A lease is a share of the limits that a call falls under: one or more ordinary reservations in the store, called
// grants, which together are large enough for the calls that the process usually makes in Options.Length. To draw is to reserve
// a grant. Calls are reserved and settled inside the lease, in memory; when it ends, its grants are settled with what the calls
// spent, which is called giving it back. Each distinct set of accounts has leases of its own, so that a call in a lease counts in all
// of its limits or in none, as it would in the store.
//
// What holds. A share is pending in the store, or charged, for as long as anything in it may be billed: a lease with calls
// in flight is settled with their worst cases and corrected when they end. A lease whose process dies lapses: its grants expire and are
// charged in full, and are corrected if the process comes back. So the cap rests on the store's own invariant and on no clock: a
// process whose clock stands still spends what was charged. The overshoot is zero.
//
// What is drawn. At most one part in holders + 1 of what each limit has left, where the number of holders is estimated from what
// is pending; when that is less than a call needs, the call's own size. A call that is larger than the share would be is sent
// to the store on its own. So are calls under a limit with Latch, because an early denial would close the latch, calls under a rolling
// window shorter than 30 lengths, and calls close to the end of a window. A call is denied only by the store, after its process has given
// back all that it does not need there; for a second, or an eighth of a length if that is less, the denial is repeated from memory
// for calls at least as large. Only one thing denies a call too early: amounts that other processes have drawn and not spent. They come
// back within two lengths.
//
// Who comes next. A call that is denied although its limits have not spent so much leaves a wish for room: at once if it is large, else once
// all calls of its process have been denied for half a length. A wish is the latch of a separate account beside the limit's. A refused
// reservation closes it; it holds no amount, makes no entry, and opens after two and a half lengths, even if its process dies. Each
// grant also has a line in the account of wishes, observe-only and with an amount of zero, so that the answer to the grant shows a wish
// without another step. Processes that see one give back their unused amounts, and those of calls in flight one by one as they end;
// until the wish ends they send each call to the store. So a call that fits is admitted within two lengths, if it is tried again meanwhile.
// A wish costs a step for the denied call that leaves it, and nothing where one is known already. While it stands, each call takes two
// steps of its own, where calls in leases share them. It admits nothing and refuses nothing. A call that fits only after others have ended,
// and that is tried all the time until then, keeps other processes from drawing leases on its limits for that long.
//
// Windows. A lease admits no call beyond the calendar window, or the sixtieth of a rolling one, in which it was drawn, by the
// store's clock, which is read from each reservation and estimated by the process's own clock between them. Spend is booked in the window
// in which it was drawn, so no interval of a rolling window holds more than its limit. Only a process whose clock stands still, as in a
// paused virtual machine, may spend the rest of a lease later; that spend counts in the window that paid for it.
//
// Kill flags. A flag holds at once in the process that sets it. Other processes see it with their next draw, or when they next read the
// flags: soon if the store is a Signaler, and at the latest after one length and the fifteen seconds that a store may take to set it.
// Kills reports that moment as EffectiveBy. Overrides and latches that other processes set are seen with the next draw, too. While the
// store does not answer, calls inside a lease go on for one length since the last draw was sent, and then fail.
//
// What a crash loses is at most the leases that the process held: they are charged when they lapse, six lengths and a call's
// TTL after they were drawn, and a Correct of their entries gives back what is known not to have been spent. Such a correction
// is final: if the process comes back after it, what it reports of that lease is dropped.
//
// What is weaker than in the store itself:
//
//   - If another process posts more than it had reserved, so that an account is beyond its limit, this process still admits calls within
//     what it has leased until its next draw there.
//   - Ids are compared within one process: a reservation that is repeated in another process is not recognised.
//   - Balances and denials count the unspent shares of other processes as pending, and each of their leases is one entry for many calls.
//   - Thresholds are reported with the posting that reaches them, so up to a lease late; calls in flight in a lease that is given back
//     count with their worst case.
//   - Calls inside a lease report no denials of observe-only limits, because they stay within the leased shares of these.
//   - Correct finds a call only in its own process, for Options.Retention and as one of MaxRemembered, and clears Estimated of the whole
//     lease in the store. A late Settle finds an expired call for a day.
//   - A process that is cut off for longer than the store remembers a lapsed lease posts its spend a second time, as an orphan.
package lease
