;; checksum(seed, length): the CRC-32 (as zlib's) of `length` bytes made from `seed`.
;; The bytes are the top bytes of x = x * 1664525 + 1013904223 (mod 2^32), x beginning at the seed.
;; A length above 65536 is out of bounds.
(module
  (memory 1)

  (func $fill (param $seed i32) (param $length i32)
    (local $at i32)
    (block $done
      (loop $again
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $seed
          (i32.add (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
        (i32.store8 (local.get $at) (i32.shr_u (local.get $seed) (i32.const 24)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $again))))

  ;; eight steps of the reflected polynomial
  (func $fold (param $crc i32) (result i32)
    (local $bit i32)
    (loop $again
      (local.set $crc
        (i32.xor
          (i32.shr_u (local.get $crc) (i32.const 1))
          (i32.and
            (i32.const 0xEDB88320)
            (i32.sub (i32.const 0) (i32.and (local.get $crc) (i32.const 1))))))
      (local.set $bit (i32.add (local.get $bit) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $bit) (i32.const 8))))
    (local.get $crc))

  (func (export "checksum") (param $seed i32) (param $length i32) (result i32)
    (local $at i32)
    (local $crc i32)
    (call $fill (local.get $seed) (local.get $length))
    (local.set $crc (i32.const -1))
    (block $done
      (loop $again
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $crc
          (call $fold (i32.xor (local.get $crc) (i32.load8_u (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $again)))
    (i32.xor (local.get $crc) (i32.const -1))))
