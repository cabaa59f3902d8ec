#!/bin/sh
# One request per outcome, and whether the answer is the one that is meant.
#
#     sh compose/demo/try.sh [DEMO_ENV [GATEWAY]]
#
# DEMO_ENV is the file with the demo's keys and tokens; GATEWAY, where to ask instead of what that file says.
set -eu

file=${1:-.extproc/demo.env}
case $file in /*) ;; *) file=./$file ;; esac
. "$file"
url=${2:-$GATEWAY}
failed=0
newline='
'

try() { # STATUS WHAT ARGUMENT_OF_CURL...
    expected=$1
    printf '\n# %s: %s\n' "$expected" "$2"
    shift 2
    answer=$(curl --silent --show-error --include --max-time 10 --write-out '\n%{http_code}' "$@") || answer=
    status=${answer##*"$newline"}
    printf '%s\n' "${answer%"$newline"*}"
    if [ "$status" != "$expected" ]; then
        printf 'try.sh: expected %s, got %s\n' "$expected" "${status:-no answer}" >&2
        failed=1
    fi
}

try 401 'nobody says who is asking' "$url/api/v2/users"
try 200 'a known key, with RateLimit headers' --header "x-api-key: $FREE_KEY" "$url/api/v2/users"
try 200 'the model version that this caller sticks to' --header "x-api-key: $PREMIUM_KEY" "$url/api/v1/recommend"
try 200 'an answer edited on its way' --header "authorization: Bearer $PREMIUM_JWT" "$url/api/v1/orders"
try 200 'an old version, which says until when' --header "x-api-key: $PREMIUM_KEY" "$url/api/v1/users"
try 200 'one answer from three upstreams' --header "x-api-key: $PREMIUM_KEY" "$url/api/v1/home"
try 200 'a chat, whose tokens are counted' --header "x-api-key: $PREMIUM_KEY" --data '{"messages": []}' \
    "$url/api/v1/chat/completions"
try 200 'a chat as it is made' --header "authorization: Bearer $PREMIUM_JWT" \
    --data '{"messages": [], "stream": true, "max_tokens": 4}' "$url/api/v1/chat/completions"
try 403 'the token lacks the scope orders:read' --header "authorization: Bearer $FREE_JWT" "$url/api/v1/orders"
try 200 'a public route' "$url/public/status"
try 404 'no such route' "$url/nowhere"
exit "$failed"
