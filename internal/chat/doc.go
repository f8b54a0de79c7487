// Package chat answers a person's question about their mail: what the question wants, which query finds the mail, and what
// the mail says.
//
// Read finds the intent of a question by written rules and builds the query, in the language of internal/search, of words,
// addresses and times alone: whatever a question or a mail contains, it can name no field and no operator that the rules did
// not choose. Nothing but Read decides about queries, effects and preferences. A language model only rewords.
//
// Extract answers in whole sentences of the mails that were found. Prompt and Checker let a model write from the same mails:
// these are data between marks that no text can forge, and a sentence of the model counts only if it cites a mail that has its
// numbers, dates and addresses. Every Claim names the mails that it is from.
//
// The package is pure: it imports no client, clock or logger. internal/api runs the queries and the effects, and
// internal/chat/llm is the client of language models.
package chat
