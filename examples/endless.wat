;; A task that never ends by itself: for timeouts and stops.
(module
  (func (export "main")
    (loop $again
      (br $again))))
