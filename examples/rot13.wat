;; rot13(): an Extism plug-in without memory: its input with every ASCII letter moved by 13 places.
(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load (param $at i64) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param $length i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store (param $at i64) (param $byte i32)))
  (import "extism:host/env" "output_set" (func $output_set (param $at i64) (param $length i64)))

  (func $moved (param $byte i32) (result i32)
    (local $letter i32)
    ;; the letter's number, whichever its case; 26 and above is none
    (local.set $letter (i32.sub (i32.or (local.get $byte) (i32.const 32)) (i32.const 97)))
    (if (i32.ge_u (local.get $letter) (i32.const 26)) (then (return (local.get $byte))))
    (if (result i32) (i32.lt_u (local.get $letter) (i32.const 13))
      (then (i32.add (local.get $byte) (i32.const 13)))
      (else (i32.sub (local.get $byte) (i32.const 13)))))

  (func (export "rot13") (result i32)
    (local $at i64)
    (local $length i64)
    (local $i i64)
    (local.set $length (call $input_length))
    (local.set $at (call $alloc (local.get $length)))
    (block $done
      (loop $again
        (br_if $done (i64.ge_u (local.get $i) (local.get $length)))
        (call $store
          (i64.add (local.get $at) (local.get $i))
          (call $moved (call $input_load (local.get $i))))
        (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br $again)))
    (call $output_set (local.get $at) (local.get $length))
    (i32.const 0)))
