"""Where lines come from besides HTTP: NATS. A message is a batch of lines; `feed` is what the program starts and stops."""
