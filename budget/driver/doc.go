// Package driver is what a ledger asks of a store, and the values that pass between them. It is for whoever writes a store, or puts one in
// front of another: begin with Store, whose comment is the contract, and package storetest, which tests each of its sentences. Users of
// package budget need not read it: what they write or hold in a variable has a name there.
package driver
