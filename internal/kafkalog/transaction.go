package kafkalog

// abortedTransaction is one that the broker listed for the range of an answer.
type abortedTransaction struct{ producer, first int64 }

// abortedTransactions follows which producers' records are to be passed over.
type abortedTransactions struct {
	pending   []abortedTransaction
	producers map[int64]bool
}

func (a *abortedTransactions) covers(producer, offset int64) bool {
	a.begin(offset)
	return a.producers[producer]
}

func (a *abortedTransactions) begin(offset int64) {
	kept := a.pending[:0]
	for _, transaction := range a.pending {
		if transaction.first <= offset {
			if a.producers == nil {
				a.producers = map[int64]bool{}
			}
			a.producers[transaction.producer] = true
		} else {
			kept = append(kept, transaction)
		}
	}
	a.pending = kept
}

// control reads a control record, whose key is a version and a type: the type 0 ends an aborted transaction.
func (a *abortedTransactions) control(producer, offset int64, key []byte) {
	if len(key) < 4 || key[2] != 0 || key[3] != 0 {
		return
	}
	a.begin(offset)
	delete(a.producers, producer)
}
