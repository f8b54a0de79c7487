package money

import (
	"fmt"

	"github.com/bojanz/currency"
)

// Amount is a sum of money: a decimal in a currency. The zero Amount is none.
type Amount struct{ of currency.Amount }

// ParseAmount reads an amount from a decimal such as "-12.50" and an ISO 4217 code.
func ParseAmount(decimal, code string) (Amount, error) {
	of, err := currency.NewAmount(decimal, code)
	if err != nil {
		return Amount{}, fmt.Errorf("amount: %w", err)
	}
	return Amount{of}, nil
}

// Decimal returns the number as it was read, such as "-12.50".
func (a Amount) Decimal() string { return a.of.Number() }

// Currency returns the ISO 4217 code.
func (a Amount) Currency() string { return a.of.CurrencyCode() }

// String returns the number and the code, such as "-12.50 EUR".
func (a Amount) String() string { return a.of.String() }

// IsZero tells whether it is no money.
func (a Amount) IsZero() bool { return a.of.IsZero() }

// IsNegative tells whether it is less than nothing, as a refund is.
func (a Amount) IsNegative() bool { return a.of.IsNegative() }

// negative returns the amount as that of a refund.
func (a Amount) negative() Amount {
	if a.IsNegative() {
		return a
	}
	negative, err := a.of.Mul("-1")
	if err != nil {
		return a // never: -1 is a number
	}
	return Amount{negative}
}

// digits returns how many decimals a currency has.
func digits(code string) int {
	digits, _ := currency.GetDigits(code)
	return int(digits)
}
