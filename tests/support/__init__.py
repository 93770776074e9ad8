"""Helpers of tests: small runs, specimens of formats, drivers that tests start and kill."""
