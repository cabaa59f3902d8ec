"""For policy authors: fakes with behaviour, so that a policy is tested like ordinary Python."""
