//! dew_point(celsius, humidity): the temperature at which air of this temperature and relative humidity (0 to 100)
//! gives off water, in degrees Celsius; by Magnus' formula, within 0.4 K from -45 to 60 degrees.
export fn dew_point(celsius: f64, humidity: f64) f64 {
    const a = 17.62;
    const b = 243.12;
    const gamma = @log(humidity / 100.0) + a * celsius / (b + celsius);
    return b * gamma / (a - gamma);
}
