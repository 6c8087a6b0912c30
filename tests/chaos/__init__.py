"""The promises of reliability.md, tried on the real store from outside. docs/testing.md says what each test shows."""
