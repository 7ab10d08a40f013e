;; A task that fails: main always, divide and peek when their inputs say so.
(module
  (memory 1)

  (func (export "main") (result i32)
    unreachable)

  ;; b = 0 divides by zero; -2147483648 / -1 overflows
  (func (export "divide") (param $a i32) (param $b i32) (result i32)
    (i32.div_s (local.get $a) (local.get $b)))

  ;; from address 65533 on it is out of bounds
  (func (export "peek") (param $address i32) (result i32)
    (i32.load (local.get $address))))
