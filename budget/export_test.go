package budget

// KeyAsWritten is the account of a limit whose window is named as the caller spelled it.
func KeyAsWritten(l Limit, s Scope) Key { return l.key(l.split(s), l.Window.String()) }
