# Owns one RabbitMQ node for a test: reads a command a line, answers each with `done`, and at end of input (the test process
# is gone, however it went) kills the node and its epmd and removes the directory. The environment is the node's own.
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 </dev/null >/dev/null 2>&1 &
epmd=$!
node=
while read -r command; do
  case $command in
    start) /usr/lib/rabbitmq/bin/rabbitmq-server </dev/null >>"$NODE_DIRECTORY/out" 2>&1 & node=$! ;;
    stop)
      kill -TERM "$node"
      { sleep 60; kill -KILL "$node"; } >/dev/null &
      watchdog=$!
      wait "$node"; node=
      kill "$watchdog" ;;
    kill) kill -KILL "$node"; wait "$node"; node= ;;
    freeze) kill -STOP "$node" ;;
    thaw) kill -CONT "$node" ;;
  esac
  echo "done"
done 2>/dev/null
# A dead child stays a zombie of this shell until `wait`, so neither number can belong to another process yet.
for pid in $node $epmd; do kill -KILL "$pid"; done 2>/dev/null
wait
rm -rf "$NODE_DIRECTORY"
