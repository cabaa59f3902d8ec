"""A gateway file that writes every key there is, and ways to change one value of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

import yaml

from extproc.config.source import parse
from extproc.core.problems import Path

WHOLE: Final = """
listeners:
  - {name: public, address: "0.0.0.0:8080", trusted_proxies: {hops: 1, proxy_protocol: true}}
  - name: secure
    address: "0.0.0.0:8443"
    tls: {certificate: tls/server.crt, key: tls/server.key, client_ca: tls/ca.crt, crl: tls/ca.crl,
      require_client_certificate: true}
  - name: several
    address: "0.0.0.0:8444"
    tls:
      certificates:
        - {certificate: tls/server.crt, key: tls/server.key}
        - {certificate: tls/other.crt, key: tls/other.key}
envoy: {concurrency: 4, admin: "127.0.0.1:9901"}
sidecar:
  address: unix:/run/extproc
  admin: "0.0.0.0:9900"
  timeout: 250ms
  stores: {counters: memory, keys: file:keys.yaml, rollouts: file:rollouts.json}
  signing: {keys: [signing.pem], issuer: shop, lifetime: 30s}
upstreams:
  users:
    endpoints: ["127.0.0.1:9101"]
    dns: logical
    balance: round_robin
    timeout: 5s
    connect_timeout: 1s
    retries: 2
    health_check: /healthz
    outlier_detection: true
    credential: {header: x-provider-key, value: hunter2}
    tls:
      san: [users.internal, "spiffe://x/users"]
      ca: tls/ca.crt
      sni: users.internal
      certificate: tls/client.crt
      key: tls/client.key
authentication:
  company: {jwt: {issuer: https://id, audiences: [shop], jwks: jwks.json, consumer: sub, tier: t, scopes: s, leeway: 5}}
  partners: {api_key: {header: x-api-key}}
  others: {api_key: }
  legacy:
    introspection:
      endpoint: https://id/introspect
      client_id: gw
      client_secret: hunter2
      issuer: https://id
      audiences: [shop]
      consumer: client_id
      tier: t
      scopes: s
      groups: g
      cache: 10s
      negative_cache: 1s
      timeout: 200ms
  people: {basic: {users: jwks.json, realm: shop}}
  machines:
    hmac:
      keys:
        k: {secret: a secret of thirty-two bytes or so, encoding: text, consumer: c, tier: t, scopes: [s], groups: [g]}
      components: ["@method", "@authority", "@path", "@query", x-account]
      window: 30s
      label: sig
  guests: {anonymous: {tier: free, scopes: [s]}}
  elsewhere: {jwt: {issuer: https://other, audiences: [shop], types: [at+jwt], algorithms: [ES256], max_outage: 1h}}
  batches: {jwt: {issuer: batch, audiences: [shop], secret: 0123456789abcdef0123456789abcdef, groups: teams}}
  devices: {client_certificate: {consumer: san_uri, allowed: [a], prefix: a, tier: free, scopes: [s], groups: [g]}}
tiers: {free: {rate: 10/s, burst: 5}}
versions:
  v0: {status: sunset, successor: v2, documentation: /docs, sunset_policy: "https://shop.example/ends"}
  v1:
    status: deprecated
    deprecated: 2026-10-01
    sunset: 2027-04-01T12:00:00Z
    successor: v2
    brown_outs: [{start: 2027-03-01, end: 2027-03-02}]
  v2: {status: current}
models:
  score:
    versions: {v1: {upstream: users, weight: 99.5}, v2: {upstream: users, weight: 0.5, price: 2}}
    sticky: none
    score: {header: x-score}
    candidate: v2
    ramp: {steps: [0.01, 5, 100], hold: 10m, start: automatic}
    guard:
      error_rate: 2%
      p95: 250ms
      score: 0.7
      cost: 0.5
      window: 1m
      interval: 10s
      min_requests: 200
      on_breach: hold
      judge: sequential
      compare: {error_rate: 0.5%, slow: 1%, slower_than: 1s, score: 0.05}
      confidence: 95%
      settle: 15s
defaults:
  authenticate: [company, partners]
  authorize: {scopes: [orders:read], addresses: [10.0.0.0/8, "2001:db8::1"]}
  forward: headers
  forward_credentials: false
  limits: [tier]
  timeout: 15s
  body_limit: 1MiB
  response_limit: 1MiB
  policies: [{use: transform, response: {}}]
  meter: {style: other, usage: [a.b|c], text: ["d[].e"], bytes_per_token: 3, reserve: [n], ending: ['{}']}
routes:
  - name: users
    match:
      hosts: [api.example.com, "*.example.com"]
      path_prefix: /users
      methods: [GET, POST]
      headers: {x-a: "1", x-b: present, x-c: {exact: z}, x-d: {prefix: z}, x-e: {present: true}}
      query: {q: present, n: 1}
    upstream: users
    authenticate: partners
    authorize: request.method == "GET"
    forward: signed
    forward_credentials: true
    limits: [tier, {per: consumer, rate: 2/s, burst: 1}, {per: address, rate: 50/minute}, {per: route, tokens: 9/hour}]
    timeout: 1s
    body_limit: 65536
    policies:
      - use: transform
        request:
          method: "'PUT'"
          path: request.path
          query: {rename: {q: r}, remove: [s], set: {t: route.name}}
          headers: {x-a: "'1'"}
          remove_headers: [x-b]
          schema: jwks.json
          json: {rename: {a: b}, remove: [c], map: {"d[]": value}, default: {e: route.name}, set: {f: route.name}}
          text: [{replace: x, with: y}]
        response:
          headers: {x-a: "'1'"}
          remove_headers: [x-b]
          json: {rename: {a: b}, remove: [c], map: {"d[]": value}, default: {e: route.name}, set: {a.b: route.name}}
          text: [{replace: x, with: y}]
          events:
            json: {rename: {a: b}, remove: [c], map: {"d[]": value}, default: {e: route.name}, set: {f: event.type}}
            text: [{replace: x, with: y}]
      - {use: transform, request: {openapi: jwks.json, body: route.name}, response: {body: route.name}}
  - name: stream
    match: {path: /stream}
    upstream: users
    stream: true
    authenticate: none
    authorize: {deny_addresses: [10.0.0.1]}
    limits: []
    meter: none
  - name: model
    match: {path: /model}
    model: score
    authorize:
      - {any_scope: [a], groups: [g], claims: {x: 1, y: [z, true, 0.5]}, consumers: [c], tiers: [free]}
      - {when: request.method == "GET"}
      - request.method == "GET"
  - name: adapted
    match: {path: /v1, media_type: application/vnd.shop.v1+json}
    upstream: users
    version:
      is: v1
      adapt_to: v2
      successor: /v2
      body:
        - rename: {a: b}
        - move: {c: d.e}
        - default: {f: 1}
        - drop: {g: null}
        - wrap: {h: i}
        - unwrap: {"j[]": k}
        - convert: {l: text_to_list, m: {n: o}}
  - name: adapted-twice
    match: {path: /v0}
    upstream: users
    version: {is: v0, adapt_to: v1, then: adapted, request: [], response: [{rename: {p: q}}]}
  - {name: old, match: {path: /old}, redirect: {to: /new, status: 301}}
"""


def as_an_editor_reads(text: str) -> Any:
    """Without the environment, and with the scalars of YAML 1.2."""
    return parse(text, lambda scalar: scalar).data


def scalars(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where every value without members is."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if members is None:
        yield path
        return
    for key, member in members:
        yield from scalars(member, (*path, key))


def changed(value: Any, path: Path, to: Any) -> str:
    """The file with another value there."""
    data = copy.deepcopy(value)
    place = data
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return yaml.dump(data, sort_keys=False, allow_unicode=True)
