"""Where counters, API keys and verification keys are kept, behind the ports that core declares."""
