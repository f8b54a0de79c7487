package money

// enough is the weight of evidence from which a mail is a receipt.
const enough = 5

// rule is one thing that speaks for a receipt, or against one if its weight is negative. It counts so many times.
type rule struct {
	weight int
	times  func(e *evidence) int
}

// rules are all of them. What a receipt says about the next payment, and about what is left to pay, counts less if it says that one was made.
var rules = []rule{
	// The subject.
	{4, func(e *evidence) int { return one(e.subject[ofReceipts]+e.subject[ofRefundSubjects] > 0) }},
	{3, func(e *evidence) int { return one(e.plainSubject() && e.bought() && e.subject[ofConfirms] > 0) }},
	{1, func(e *evidence) int { return one(e.plainSubject() && !e.bought() && e.subject[ofConfirms] > 0) }},
	{2, func(e *evidence) int { return one(e.subject[ofInvoices] > 0) }},
	{1, func(e *evidence) int { return one(e.subject[ofPurchases] > 0) }},
	{-6, func(e *evidence) int { return one(e.subject[ofUnpaid] > 0) }},
	{-3, func(e *evidence) int { return one(e.subject[ofNoReceipts] > 0 && e.subject[ofRefundSubjects] == 0) }},
	{-2, func(e *evidence) int {
		return one(e.subject[ofNoReceipts] > 0 && e.subject[ofRefundSubjects] == 0 && !e.acknowledged())
	}},

	// The amounts.
	{3, func(e *evidence) int { return one(e.paid) }},
	{1, func(e *evidence) int { return one(e.paidAll) }},
	{2, func(e *evidence) int { return one(e.total) }},
	{2, func(e *evidence) int { return one(e.listed) }},
	{1, func(e *evidence) int { return one(e.single && e.text[ofDone] > 0) }},
	{1, func(e *evidence) int {
		return one(e.named && e.text[ofDone]+e.text[ofDoneWords]+e.text[ofMethods]+e.subject[ofReceipts]+e.subject[ofRefundSubjects] > 0)
	}},
	{-3, func(e *evidence) int {
		return one(e.bare && e.text[ofDone] == 0 && e.subject[ofRefundSubjects] == 0 && (e.subject[ofReceipts] == 0 || e.text[ofMethods] == 0))
	}},
	{-2, func(e *evidence) int { return one(e.coming && !e.acknowledged()) }},
	{-2, func(e *evidence) int { return one(e.due && !e.acknowledged()) }},

	// The words of the text.
	{2, func(e *evidence) int { return one(e.text[ofDone] > 0) }},
	{1, func(e *evidence) int { return one(e.text[ofDone] > 1) }},
	{1, func(e *evidence) int { return one(e.text[ofDoneWords] > 0) }},
	{1, func(e *evidence) int { return one(e.text[ofMethods] > 0) + one(e.text[ofMethods] > 2) }},
	{1, func(e *evidence) int { return one(e.text[ofStructure] > 1) + one(e.text[ofStructure] > 3) }},
	{-4, func(e *evidence) int { return one(e.text[ofDemands] > 0 && !e.acknowledged()) }},
	{-2, func(e *evidence) int { return one(e.text[ofDemands] > 0 && e.acknowledged() && !e.paidAll) }},
	{-4, func(e *evidence) int { return one(e.text[ofFuture] > 0 && !e.acknowledged()) }},
	{-4, func(e *evidence) int { return one(e.text[ofShipping] > 0 && !e.acknowledged()) }},
	{-5, func(e *evidence) int { return min(e.text[ofFailure], 2) }},
	{-5, func(e *evidence) int { return one(e.text[ofQuotes] > 0) }},
	{-4, func(e *evidence) int { return min(e.text[ofIncoming], 2) }},
	{-1, func(e *evidence) int { return min(e.text[ofSelling], 4) }},
	{-2, func(e *evidence) int { return min(e.text[ofTerms], 3) }},
	{-3, func(e *evidence) int { return min(e.text[ofAlarm], 3) }},
	{-3, func(e *evidence) int { return min(e.text[ofPeople], 2) }},
	{-3, func(e *evidence) int { return one(e.silent()) + one(!e.asserted()) }},

	// The sender, and how the mail was sent.
	{1, func(e *evidence) int { return one(e.billing) }},
	{1, func(e *evidence) int { return one(e.mail.Category == "finance") }},
	{-3, func(e *evidence) int { return one(e.mail.Bulk) }},
	{-2, func(e *evidence) int { return one(e.mail.Bulk && e.text[ofSelling] > 1) }},
	{-3, func(e *evidence) int { return one(e.mail.ListID != "") }},
	{-3, func(e *evidence) int { return one(e.open) + one(e.open && !e.machine) }},
	{-6, func(e *evidence) int { return one(e.open && e.text[ofAlarm] > 0) }},
}

// categoryAgainst is how much a category speaks against a receipt.
var categoryAgainst = map[string]int{"promo": -2, "newsletter": -2, "social": -3, "applications": -4}

// plainSubject tells whether the subject does not speak of a receipt by itself.
func (e *evidence) plainSubject() bool {
	return e.subject[ofReceipts]+e.subject[ofRefundSubjects] == 0
}

// bought tells whether the subject is of a purchase.
func (e *evidence) bought() bool { return e.subject[ofPurchases]+e.subject[ofInvoices] > 0 }

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
