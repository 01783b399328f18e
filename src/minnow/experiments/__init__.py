"""Many runs: tables and plots."""
