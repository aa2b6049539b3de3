// Package lease puts escrow leases in front of a store that many processes share, so that most calls cost no round trip. A lease is
// a share of the limits that a call falls under: one or more ordinary reservations in the store, drawn for as many calls as
// the process is used to make in Options.Length. Calls are reserved and settled inside it, in memory; when it is over
// it is settled with what they spent. Each distinct set of accounts has leases of its own, so that a call is all or nothing in
// its lease as it would be in the store.
//
// What holds. A share is pending in the store, or charged, for as long as anything in it may be billed: a lease with calls
// in flight is settled with their worst cases and corrected when they end, a lease that lapses is charged in full, and what
// its process tells when it comes back puts that right. So the cap rests on the store's own invariant and on no clock: a
// process whose clock stands still spends what was charged. The overshoot is zero.
//
// What is drawn. At most one part in holders + 1 of what each limit has left, where the number of holders is read from what
// is pending; when that is less than a call needs, the call's own size. A call that is larger than the share would be goes
// to the store on its own. So do calls under a limit with Latch, because an early denial would stick, under a rolling window
// shorter than 30 lengths, and close to the edge of a window. A call is denied only by the store, after its process has given
// back all that it does not need there; for a second, or an eighth of a length if that is less, the denial is repeated from memory
// for calls at least as large. The one cause of an early denial is what other processes have drawn and not spent, which comes
// back within two lengths.
//
// Who comes next. A call that is denied although its limits have enough leaves a wish for room: at once if it is dear, or if all
// calls of its process were denied for half a length. A wish is the latch of an account of its own, beside the limit's,
// set by a refusal; it holds no amount, makes no entry, and opens after two and a half lengths whatever becomes of its process. Each
// grant is reserved in the limit's account and, with nothing, in that of wishes, observe-only, so that its answer tells of a wish
// in the same step. Holders that hear of one give back what lies idle, calls in flight one by one as they end, and send calls to
// the store on their own until it is over. So a call that fits is admitted within two lengths, if it is tried again meanwhile. A
// wish costs a step for a denied call, none where one is known to stand, and two steps instead of a third for calls that are
// made while it stands; it admits nothing and refuses nothing. A call that only fits once others end, and is tried all the time
// until then, keeps the leases of its limits away for as long.
//
// Windows. A lease admits no call beyond the calendar window, or the sixtieth of a rolling one, in which it was drawn, by the
// store's clock, which is read from each reservation and carried on by the process's own. Spend is booked where it was
// drawn, so no interval of a rolling window holds more than its limit. Only a process whose clock stands still, as in a paused
// virtual machine, may spend the rest of a lease later; it counts in the window that paid for it.
//
// Kill flags. In the process that sets one it holds at once. Others hear of it with their next draw or reading of flags, soon
// after it is set if the store is a Signaler they are connected to, and at the latest a length later, and the fifteen seconds
// that a store may take to set it: Kills tells that moment as EffectiveBy. Overrides and latches of others are noticed with
// the next draw, too. While the store does not answer, calls go on inside a lease until its length has passed since before it
// was asked for, and then fail.
//
// What a crash loses is at most the leases that the process held: they are charged when they lapse, six lengths and a call's
// TTL after they were drawn, and Correct of their entries gives back what is known not to have been spent. Such a correction
// is final: what a process that comes back after all has to tell of that lease is dropped.
//
// What is looser than in the store itself. When another process posts more than it had set aside, so that an account stands
// beyond its limit, this one goes on inside what it has leased until its next draw there. Ids are compared within the process:
// a reservation that is replayed in another one is not recognised. Balances and denials count the unspent shares of other
// processes as pending, and their leases come as one entry for many calls; the process's own calls come as they are.
// Thresholds are reported with the posting that reaches them, so up to a lease late, and with calls in flight in a lease that
// is given back counted at their worst case. Calls inside a lease report nothing of observe-only limits, whose shares they
// stay within. Correct finds a call for Options.Retention, as one of MaxRemembered, in its own process, and clears Estimated of
// the whole lease in the store; a late Settle finds one that has expired for a day. A process that is cut off for longer than the store remembers
// a lapsed lease posts its spend a second time, as an orphan.
package lease
