#!/bin/sh
# Makes .env of example.env, with random passwords and secrets, for docker-compose.yml. Only its owner may read it. An existing .env stays.
set -euC
umask 077
cd "$(dirname "$0")/.."
while IFS= read -r line; do
	case $line in
	SECRETS_KEY=) line=$line$(head -c 32 /dev/urandom | base64 | tr -d '\n') ;;
	*_PASSWORD= | *_SECRET=) line=$line$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n') ;;
	esac
	printf '%s\n' "$line"
done <deploy/example.env >.env
