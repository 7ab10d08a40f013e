;; too_hot(limit): whether sensor 0 is above the limit, both in thousandths. Without memory, so that it runs on the
;; smallest device. Needs `allow`: sensor:0.
(module
  (import "edge" "sensor" (func $sensor (param $channel i32) (result i32)))

  (func (export "too_hot") (param $limit i32) (result i32)
    (i32.gt_s (call $sensor (i32.const 0)) (local.get $limit))))
